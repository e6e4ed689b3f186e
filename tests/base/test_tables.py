"""Tables as data frames; their other forms have examples."""

from __future__ import annotations

import importlib.util

import pytest

from committee.base.tables import to_frame
from committee.errors import DependencyError


def test_a_data_frame() -> None:
    pytest.importorskip("pandas")
    frame = to_frame(("a", "b"), [[1, 2], [3, 4]], "a table", ["x", "y"])
    assert frame.loc["y", "a"] == 3 and list(frame.columns) == ["a", "b"]


def test_without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DependencyError) as caught:
        to_frame(["a"], [[1]], "a leaderboard")
    assert str(caught.value) == (
        "a leaderboard as a data frame: expected the package 'pandas', got none installed. "
        "Install it with: pip install 'committee[pandas]'"
    )
