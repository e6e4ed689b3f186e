"""The plot of a comparison."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from PIL import Image

from committee.errors import DependencyError
from committee.pipeline.comparing.plot import front, require_matplotlib, write_plot
from committee.pipeline.comparing.row import Row


def test_the_front_is_what_nothing_beats(rows: list[Row]) -> None:
    assert front(rows) == [rows[3], rows[1], rows[0]]


def test_the_smallest_errors_of_numbers_are_the_front(number_rows: list[Row]) -> None:
    assert front(number_rows) == [number_rows[2], number_rows[0]]


def test_the_file_is_a_picture(rows: list[Row], number_rows: list[Row], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    write_plot(number_rows, tmp_path / "numbers.png", "Three files")
    write_plot(rows, tmp_path / "new" / "plot.png", "Four files", "fast", 20.0)
    with Image.open(tmp_path / "new" / "plot.png") as image:
        assert image.format == "PNG" and image.size == (1500, 750)


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DependencyError) as caught:
        require_matplotlib()
    assert str(caught.value) == (
        "a plot of the comparison: expected the package 'matplotlib', got none installed. "
        "Install it with: pip install 'committee[plots]'"
    )
