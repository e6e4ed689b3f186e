"""Tables that fit the terminal and cut nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from committee.cli._table import display_width, table_lines, wrap

SCORE = "0.3426 [0.2999, 0.3899]"


def table(columns: Sequence[str], *rows: Sequence[str], width: int) -> str:
    return "\n".join(table_lines(columns, rows, width))


def test_a_table_that_fits_is_aligned() -> None:
    assert table(["name", "n"], ["a", "1"], ["bcd", ""], width=80) == "name  n\na     1\nbcd"


def test_headings_wrap_before_cells() -> None:
    assert table(["name", "log_loss of the fit"], ["a", "0.1234"], width=16) == (
        "      log_loss\nname  of the fit\na     0.1234"
    )


def test_text_wraps_between_words_and_intervals_stay_whole() -> None:
    assert table(["name", "score", "why"], ["net", SCORE, "it ran out of memory"], width=34) == (
        "name  score             why\nnet   0.3426            it ran out\n      [0.2999, 0.3899]  of memory"
    )


def test_a_long_name_stands_on_a_line_of_its_own() -> None:
    rows = [["logit_averaging_ensemble", "0.1"], ["vote", "0.2"]]
    assert table(["name", "score"], *rows, width=20) == (
        "name  score\nlogit_averaging_ensemble\n      0.1\nvote  0.2"
    ).replace("name  ", "name           ").replace("      0.1", "               0.1").replace(
        "vote  ", "vote           "
    )


def test_a_shared_prefix_is_named_once() -> None:
    files = [[name, f"store/deploy/{name}/model.onnx"] for name in "abcd"]
    assert table(["name", "file"], *files, width=25) == (
        "(each file begins with\nstore/deploy/)\nname  file\n"
        "a     a/model.onnx\nb     b/model.onnx\nc     c/model.onnx\nd     d/model.onnx"
    )
    assert "begins with" not in table(["name", "file"], *files, width=80)
    assert "begins with" not in table(["name", "x"], ["0.00001", "y"], ["0.00002", "y"], width=5)


def test_a_value_of_all_rows_is_named_once() -> None:
    rows = [[name, "refit", SCORE.replace("6", name[-1])] for name in ("n1", "n2", "n3")]
    assert table(["name", "networks", "log_loss"], *rows, width=30) == (
        "(networks in all rows: refit)\nname  log_loss\n"
        "n1    0.3421 [0.2999, 0.3899]\nn2    0.3422 [0.2999, 0.3899]\nn3    0.3423 [0.2999, 0.3899]"
    )
    short = table(["name", "networks", "log_loss"], *rows[:1], width=30)
    assert "in all rows" not in short
    assert table(["name", "networks", "log_loss"], *rows, width=80).splitlines()[1].split()[1] == "refit"


def test_a_table_without_room_becomes_blocks() -> None:
    row = ["resnet50", SCORE, "", "no proven gain"]
    assert table(["name", "log_loss", "start", "gain"], row, width=30) == (
        "resnet50\n  log_loss  0.3426\n            [0.2999, 0.3899]\n  gain      no proven gain"
    )


def test_wide_characters_count_twice() -> None:
    assert [display_width(text) for text in ("cat", "猫", "e\u0301")] == [3, 2, 1]
    assert table(["name", "n"], ["猫", "1"], ["cat", "2"], width=80) == "name  n\n猫    1\ncat   2"


def test_one_word_is_never_broken() -> None:
    assert wrap("a photo/with/a/long/path.jpg there", 10) == ("a", "photo/with/a/long/path.jpg", "there")


CELL = st.text(st.sampled_from("abc01. _/-"), max_size=30).map(str.strip)
NAME = st.text(st.sampled_from("abc_"), min_size=1, max_size=30)


@given(st.lists(st.tuples(NAME, CELL, CELL, CELL), min_size=1, max_size=5), st.integers(20, 100))
def test_no_word_is_lost_and_lines_fit(rows: list[tuple[str, ...]], width: int) -> None:
    columns = ("name", "first heading", "second", "third")
    lines = table_lines(columns, rows, width)
    text = " ".join(lines)
    prefixes = re.findall(r"begins with (\S+)\)", text)
    found = set(text.replace(")", " ").split())
    words = " ".join(" ".join(row) for row in rows).split()
    for word in words:
        assert word in found or any(word.removeprefix(each) in found | {""} for each in prefixes), lines
    most = max(width, len("  first heading  ") + max(map(len, words)))
    assert all(len(line) <= most for line in lines)


@pytest.mark.parametrize("rows", [5_000])
def test_thousands_of_rows_are_laid_out_at_once(rows: int) -> None:
    named = [[f"photos/{'x' * (n % 60)}/{n}.jpg", "cat, dog, " * (n % 20), "0.5"] for n in range(rows)]
    assert len(table_lines(["photo", "set", "probability"], named, 80)) > rows
