"""Tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from committee.base.text import count, duration, two_digits
from committee.cli import _output
from committee.cli._output import cell, print_failed, print_json, print_table, print_text


def test_json_is_plain_and_strict(capsys: pytest.CaptureFixture[str]) -> None:
    print_json(
        {"a": np.float32(0.5), "b": np.arange(2), "c": float("nan"), "d": (True, None), 5: {"é": np.inf}}
    )
    text = capsys.readouterr().out
    assert json.loads(text) == {"a": 0.5, "b": [0, 1], "c": None, "d": [True, None], "5": {"é": None}}
    assert "é" in text


def test_a_table_is_plain_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("Scores", ["name", "log loss"], [["a", 0.123456], ["bcdef", None]])
    assert capsys.readouterr().out == "Scores\nname   log loss\na      0.1235\nbcdef\n"


def test_an_empty_table_is_not_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("Scores", ["name", "n"], [])
    assert capsys.readouterr().out == ""


def test_sentences_wrap_on_a_terminal_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "12")
    print_text("a sentence of words")
    assert capsys.readouterr().out == "a sentence of words\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    print_text("\na sentence of words")
    assert capsys.readouterr().out == "\na sentence\nof words\n"


def test_a_table_is_as_wide_as_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for columns, lines in (("40", 4), ("200", 2)):
        monkeypatch.setenv("COLUMNS", columns)
        print_table("", ["name", "reason"], [["net", " ".join(["reason"] * 12)]])
        assert len(capsys.readouterr().out.splitlines()) == lines


def test_cells() -> None:
    assert [cell(value) for value in (None, 1, 0.00012345, "x", True)] == ["", "1", "0.0001234", "x", "True"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 seconds"),
        (0.17, "1 second"),
        (12, "12 seconds"),
        (59.5, "1 minute"),
        (170, "3 minutes"),
        (3569, "59 minutes"),
        (3599, "1 hour"),
        (9000, "2.5 hours"),
        (440_000, "120 hours"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds / 3600) == text


def test_two_digits_are_never_scientific() -> None:
    assert [two_digits(each) for each in (0, 4.81e-5, 0.125, 123.4)] == ["0", "0.000048", "0.12", "120"]


def test_counts_and_failures(capsys: pytest.CaptureFixture[str]) -> None:
    assert (count(0, "row"), count(1, "row"), count(2, "row")) == ("0 rows", "1 row", "2 rows")
    print_failed({"a": "out of memory.", "b": "b: expected x, got y."})
    assert capsys.readouterr().out == "failed: a: out of memory.\nfailed: b: expected x, got y.\n"


def test_a_reason_on_the_terminal_is_not_repeated(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_output, "LOGGED", {"a: out of memory."})
    failed = {"a": "out of memory.", "b": "b: expected x, got y."}
    print_failed(failed)
    assert capsys.readouterr().out.startswith("failed: a: out of memory.\n")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    print_failed(failed)
    assert capsys.readouterr().out == "failed: a (see above)\nfailed: b: expected x, got y.\n"
