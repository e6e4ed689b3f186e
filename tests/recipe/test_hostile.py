"""Any text is a recipe or a RecipeError, within a bounded time."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from committee.errors import CommitteeError, RecipeError
from committee.recipe.load import load_recipe
from committee.recipe.yaml_text import parse

WORDS = [
    "dataset",
    "training",
    "backbones",
    "include",
    "models",
    "runs",
    "stacking",
    "overrides",
    "exports",
    "seed",
    "epochs",
    "lr",
    "img_size",
    "timm:resnet18",
    "python:os:system",
    ":",
    "-",
    "{",
    "}",
    "[",
    "]",
    ",",
    "\n",
    "  ",
    "&a ",
    "*a",
    "<<",
    "!!python/object:os.system",
    "!!binary",
    "!",
    "|",
    ">",
    "'",
    '"',
    "#",
    "---",
    "...",
    "%YAML 1.1",
    "?",
    "~",
    "null",
    "true",
    "9" * 400,
    "1e999",
    "-0x1F",
    ".nan",
    ".inf",
    "\t",
    "\0",
    "\ufeff",
    "\u2028",
    "\ud800",
    "\U0001f600",
    "\x85",
]
TEXTS = st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=25).map("".join)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
KEYS = [
    "seed",
    "device",
    "dataset",
    "training",
    "backbones",
    "models",
    "overrides",
    "runs",
    "exports",
    "project",
    "dataset.path",
    "dataset.img_size",
    "dataset.channels",
    "training.folds",
    "training.lr",
    "training.epochs",
    "backbones.include",
    "backbones.include[0]",
    "backbones.include[99999999999]",
    "runs.stacking",
    "overrides.resnet18.lr",
    "a" * 300,
    "..",
    "",
    "[0]",
]


@given(TEXTS)
@example("a: &a [*a]")
@example("{" * 5000)
@example("? " * 3000)
@example("- " * 3000)
@example("a: " + "&x " * 2000)
@settings(max_examples=400)
def test_nothing_but_our_error_comes_out_of_any_text(text: str) -> None:
    with contextlib.suppress(RecipeError):
        parse(text, "recipe.yaml")


@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=12).map("".join))
@settings(max_examples=100)
def test_nothing_but_our_errors_comes_out_of_any_file(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "recipe.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with contextlib.suppress(CommitteeError):
        load_recipe(path)


@given(st.binary())
def test_nothing_but_our_errors_comes_out_of_any_bytes(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "recipe.yaml"
    path.write_bytes(content)
    with contextlib.suppress(CommitteeError):
        load_recipe(path)


@given(st.sampled_from(KEYS), VALUES)
@settings(max_examples=300)
def test_nothing_but_our_errors_comes_out_of_any_override(key: str, value: object) -> None:
    with contextlib.suppress(CommitteeError):
        load_recipe(None, [f"{key}={value}"])


@pytest.mark.parametrize(
    "text", ["a: " + "9" * 100_000, "a: " + "1" * 299 + "e" + "9" * 299, "0x" + "f" * 100_000]
)
def test_endless_numbers_are_text_or_infinite(text: str) -> None:
    parse(text, "recipe.yaml")


def test_a_recipe_that_is_no_file_is_one_sentence(tmp_path) -> None:
    for path in (tmp_path, tmp_path / "a\0b", tmp_path / ("x" * 300)):
        with pytest.raises(RecipeError, match=r"cannot be read|expected the path of a recipe file, got "):
            load_recipe(path)
