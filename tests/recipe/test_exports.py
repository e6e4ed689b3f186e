"""Formats with options: their texts and mappings, the folder of each, and what is refused."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest

from committee.base.registry import Family
from committee.errors import RecipeError, UsageError
from committee.recipe.exports import EXPORTERS, ExportFormat
from committee.recipe.load import load_recipe


class Paper:
    """A format with options."""

    def __init__(self, ink: str = "black", pages: int = 1, function: str = "") -> None:
        if pages < 1:
            raise UsageError("pages", expected="a number of at least 1", got=str(pages), todo="Write some.")
        self.ink, self.pages, self.function = ink, pages, function


@pytest.fixture(autouse=True)
def paper(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("paper", f"{__name__}:Paper", EXPORTERS.package)
    monkeypatch.setattr(
        Family,
        "_external",
        property(lambda self: {"paper": point} if self.package == EXPORTERS.package else {}),
    )


@pytest.mark.parametrize(
    ("given", "options", "name"),
    [
        ("paper", {}, "paper"),
        ("paper:ink=red", {"ink": "red"}, "paper_red"),
        ("paper:pages=2:ink=red", {"ink": "red", "pages": 2}, "paper_red_2"),
        ("{format: paper, ink: dark red}", {"ink": "dark red"}, "paper_dark_red"),
        ("{format: paper, ink: black, pages: 1}", {"ink": "black", "pages": 1}, "paper"),
        ("paper:function=nets.out:write", {"function": "nets.out:write"}, "paper_nets.out_write"),
    ],
)
def test_a_format_is_a_name_a_text_or_a_mapping(given: str, options: dict[str, Any], name: str) -> None:
    (found,) = load_recipe(None, [f"exports.formats=[{given}]"]).exports.formats
    assert (found.format, found.options, found.name) == ("paper", options, name)
    assert {key: getattr(found.make(), key) for key in options} == options


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("paper:ing=red", "expected an option of paper (function, ink, pages). Did you mean 'ink'?"),
        ("paper:pages=0", "expected a number of at least 1. Write some."),
        ("papers", "Did you mean 'paper'?"),
    ],
)
def test_an_invalid_option_is_refused_in_a_recipe_and_in_python(given: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        ExportFormat.of(given)
    assert str(caught.value).startswith(f"export format '{given}': ") and str(caught.value).endswith(said)
    with pytest.raises(RecipeError, match=r"exports\.formats\[0\]"):
        load_recipe(None, [f"exports.formats=[{given}]"])
