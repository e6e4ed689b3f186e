"""Engines that another package adds."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import pytest

from committee.base import registry

GOOD = ("Right", "Good", "Half", "Remember")
BAD = ("Wrong", "WrongForOne", "Slower", "Absent", "NoMemory", "Late")


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Add the engines of `planted.py` through entry points, by their names in lower case."""
    monkeypatch.syspath_prepend(Path(__file__).parent)
    group = "committee.engines"
    points = EntryPoints(EntryPoint(name.lower(), f"planted:{name}", group) for name in (*GOOD, *BAD))
    monkeypatch.setattr(registry, "_entry_points", lambda: points)
    yield
    sys.modules.pop("planted", None)
