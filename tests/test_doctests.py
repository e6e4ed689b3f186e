"""The examples in docstrings run and print what they show."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import committee

ROOT = Path(committee.__file__).parent
SLOW = ("exporters", "in_memory")
"""Folders whose examples export or train networks."""
MODULES = [
    pytest.param(
        ".".join(path.relative_to(ROOT.parent).with_suffix("").parts),
        marks=[pytest.mark.slow] if path.relative_to(ROOT).parts[0] in SLOW else [],
    )
    for path in sorted(ROOT.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted
    assert not results.failed
    assert not list(tmp_path.iterdir()), "an example leaves files behind"
