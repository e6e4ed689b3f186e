"""YAML 1.2 with positions, and limits for hostile texts."""

from __future__ import annotations

import math

import pytest

from committee.errors import RecipeError
from committee.recipe.yaml_text import MAX_CHARACTERS, parse


def test_scalars_follow_the_core_schema_of_yaml_1_2() -> None:
    text = (
        "{a: 3e-4, b: no, c: yes, d: 012, e: 0x1F, f: 0o17, g: 1_000, h: -.inf, i: ~, j: , k: TRUE, "
        "l: 1:30, m: '3', n: 2024-01-01, o: !!str 3, p: timm:resnet18, 0: .5, q: off, r: +7}"
    )
    assert parse(text, "r").value == {
        "a": 3e-4,
        "b": "no",
        "c": "yes",
        "d": 12,
        "e": 31,
        "f": 15,
        "g": "1_000",
        "h": -math.inf,
        "i": None,
        "j": None,
        "k": True,
        "l": "1:30",
        "m": "3",
        "n": "2024-01-01",
        "o": "3",
        "p": "timm:resnet18",
        "0": 0.5,
        "q": "off",
        "r": 7,
    }


def test_values_know_where_they_stand() -> None:
    root = parse("a: 1\nb:\n  - x\n  - {c: y}\n", "r.yaml")
    assert root.get(("b", 1, "c")) == "y"
    assert (root.where(("b", 1, "c")), root.where_key(("b",))) == ("r.yaml:4:9", "r.yaml:2:1")


def test_aliases_are_read() -> None:
    assert parse("a: &x [1, 2]\nb: *x", "r").value == {"a": [1, 2], "b": [1, 2]}


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "\n".join(
    f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            BOMB,
            "recipe: expected at most 10000 values, got 66430. "
            "Use fewer aliases of large values. (r.yaml:5:4)",
        ),
        (
            "a: 1\nb: 2\na: 3",
            "recipe: expected the key 'a' once, got a second one, after r.yaml:1:1. "
            "Leave one out. (r.yaml:3:1)",
        ),
        ("[" * 50_000, "recipe: expected at most 10000 values, 24 deep, got more. (r.yaml:1:26)"),
        (
            "[" + "1," * 50_000 + "]",
            "recipe: expected at most 10000 values, 24 deep, got more. (r.yaml:1:20000)",
        ),
        (
            "#" * (MAX_CHARACTERS + 1),
            "r.yaml: expected at most 200000 characters, got 200001. Check that it is a recipe.",
        ),
        ("a: &x [*x]", "recipe: expected an alias of a value above, got '*x'. (r.yaml:1:8)"),
        (
            "a: !!python/object/apply:os.system ['true']",
            "recipe: expected plain values, got the tag '!!python/object/apply:os.system'. (r.yaml:1:4)",
        ),
        ("a: 1\n---\nb: 2", "recipe: expected one document, got a second. (r.yaml:2:1)"),
        ("? [a]\n: b", "recipe: expected keys that are text, got another key. (r.yaml:1:3)"),
        ("a: [1", "recipe: invalid YAML: expected ',' or ']', but got '<stream end>'. (r.yaml:1:6)"),
        (
            "a: \x00",
            "recipe: invalid YAML: unacceptable character #x0000: special characters are not "
            'allowed in "<unicode string>", position 3. (r.yaml)',
        ),
    ],
)
def test_what_is_refused_is_said_in_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse(text, "r.yaml")
    assert str(caught.value) == sentence
