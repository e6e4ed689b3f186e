"""Every benchmark file runs, and says what it was asked: small sizes only, nothing is timed here."""

from __future__ import annotations

import importlib
import json
import runpy
import sys
import warnings
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[1] / "benchmarks"
# These train, evaluate or predict in several processes of their own: more than a test may take.
LONG = (
    "demo",
    "evaluate_memory",
    "gpu",
    "main_job",
    "predict_faults",
    "predict_ray",
    "ray_faults",
    "ray_overhead",
    "repeated_run",
)
NAMES = sorted({file.stem for file in FOLDER.glob("*.py")} - {"harness", "all", *LONG})


@pytest.fixture
def benchmarks(monkeypatch):
    """Make the files importable in this process, which has imported torch already."""
    known = set(sys.modules)
    monkeypatch.syspath_prepend(str(FOLDER))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    for name in [name for name in set(sys.modules) - known if (FOLDER / f"{name}.py").exists()]:
        del sys.modules[name]


@pytest.mark.parametrize("name", NAMES)
def test_runs(name, benchmarks):
    rows = importlib.import_module(name).measure(True)
    assert rows
    for row in rows:
        assert row.question and row.work
        unknown = ("is not installed", "has no proven gain")
        assert row.ours is not None or any(reason in row.note for reason in unknown)


def test_the_command_line_keeps_the_rows(benchmarks, tmp_path, monkeypatch, capsys):
    answer = tmp_path / "rows.json"
    monkeypatch.setattr(sys, "argv", ["metrics.py", "--quick", "--json", str(answer)])
    runpy.run_path(str(FOLDER / "metrics.py"), run_name="__main__")
    found, printed = json.loads(answer.read_text(encoding="utf-8")), capsys.readouterr().out
    assert found["quick"] is True and found["about"]["versions"]["numpy"]
    assert found["rows"]
    for row in found["rows"]:
        assert row["question"] in printed and row["work"] in printed
