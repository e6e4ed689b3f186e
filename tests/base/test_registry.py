"""Families: a folder is a family, and a file an entry."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from committee.base.registry import Family
from committee.errors import UnknownNameError, UsageError


@pytest.fixture
def family(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Family[object]:
    folder = tmp_path / "shapes_of_test"
    folder.mkdir()
    for name, text in {
        "__init__": "",
        "_base": "class Shape: pass",
        "circle": """
            from shapes_of_test._base import Shape
            class Circle(Shape):
                def __init__(self, radius: float = 1.0) -> None:
                    self.radius = radius
            class _Helper: pass
        """,
        "square": "class Square: pass",
        "oval": "class Oval:\n    def __init__(self, width: float, *rest: float) -> None: ...",
        "two": "class A: pass\nclass B: pass",
    }.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")
    for name in [name for name in sys.modules if name.startswith("shapes_of_test")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.partition(".")[0] == "shapes_of_test"]:
        monkeypatch.delitem(sys.modules, name)  # The folder of the test before is not there any more.
    monkeypatch.syspath_prepend(tmp_path)
    return Family("shapes_of_test", "shape")


def test_names_come_from_files_and_import_nothing(family: Family[object]) -> None:
    assert family.names() == ("circle", "oval", "square", "two")
    assert "shapes_of_test.circle" not in sys.modules


def test_an_entry_is_the_public_class_of_its_file(family: Family[object]) -> None:
    circle = family.make("circle", radius=2.0)
    assert type(circle).__name__ == "Circle"
    assert vars(circle) == {"radius": 2.0}
    assert list(family.options("circle")) == ["radius"]


def test_an_unknown_entry_names_the_nearest(family: Family[object]) -> None:
    with pytest.raises(UnknownNameError) as caught:
        family.load("cirle")
    assert (
        str(caught.value)
        == "shape: expected one of circle, oval, square, two, got 'cirle'. Did you mean 'circle'?"
    )


def test_an_unknown_option_names_the_nearest(family: Family[object]) -> None:
    with pytest.raises(UsageError) as caught:
        family.make("circle", radios=2.0)
    assert str(caught.value) == (
        "shape circle: expected an option among 'radius', got 'radios'. Did you mean 'radius'?"
    )


def test_an_option_without_a_default_must_be_given(family: Family[object]) -> None:
    with pytest.raises(UsageError) as caught:
        family.make("oval")
    assert str(caught.value) == "shape oval: expected the option 'width', got none."
    family.make("oval", width=1.0)


def test_a_file_with_two_public_classes_is_a_mistake_of_its_author(family: Family[object]) -> None:
    with pytest.raises(TypeError, match="must contain one public class, but contains 2"):
        family.load("two")
