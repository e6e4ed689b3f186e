"""Bars on a terminal, silence elsewhere."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from committee.base import progress


def open_terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Make stderr a terminal that remembers what was written to it."""
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(logging.getLogger("committee"), "level", logging.INFO)
    logging.getLogger("committee").setLevel(logging.INFO)  # empties the loggers' caches
    return screen


def test_items_pass_through_in_silence(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress.track([1, 2, 3], what="counting")) == [1, 2, 3]
    assert list(progress.track(iter("ab"), 2, "spelling")) == ["a", "b"]
    assert capsys.readouterr() == ("", "")


def test_bars_are_drawn_one_inside_another(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    with progress.bar(2, "outer") as step:
        assert list(progress.track(range(3), what="inner")) == [0, 1, 2]
        step(2)
        assert progress._SCREEN.display is not None
        progress._SCREEN.display.refresh()
    assert "outer" in terminal.getvalue()
    assert progress._SCREEN.display is None


def test_a_bar_names_what_it_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    open_terminal(monkeypatch)

    def shown() -> str:
        assert progress._SCREEN.display is not None
        return progress._SCREEN.display.tasks[0].description

    seen = [shown() for _ in progress.track(["mean", "weighted"], what="ensembles", name=str)]
    assert seen == ["ensembles: 1 of 2, mean", "ensembles: 2 of 2, weighted"]
    with progress.bar(None, "images") as step:
        step(7)
        assert shown() == "images: 7"


def test_names_are_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    for _ in progress.track(["[bold]a[/bold]"], what="members", name=str):
        assert progress._SCREEN.display is not None
        progress._SCREEN.display.refresh()
    assert "[bold]a[/bold]" in terminal.getvalue()


def test_an_error_takes_the_bars_down(monkeypatch: pytest.MonkeyPatch) -> None:
    open_terminal(monkeypatch)
    with pytest.raises(ZeroDivisionError), progress.bar(None, "outer"), progress.bar(1, "inner"):
        raise ZeroDivisionError
    assert (progress._SCREEN.display, progress._SCREEN.bars) == (None, 0)


def test_quiet_shows_no_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = open_terminal(monkeypatch)
    logging.getLogger("committee").setLevel(logging.ERROR)
    assert list(progress.track([1], what="counting")) == [1]
    assert terminal.getvalue() == ""
