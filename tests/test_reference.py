"""The reference pages say what the code says."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path
from types import ModuleType

import pytest

from committee import errors
from committee.combiners.base import COMBINERS
from committee.metrics.classification import METRICS

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"


def script_of(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return script_of("write_reference")


def test_the_tree_of_files_is_fresh() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert readme == script_of("write_tree").written(readme), "run python scripts/write_tree.py"


@pytest.mark.parametrize("name", ["command-line.md", "recipe.md"])
def test_written_pages_are_fresh(script: ModuleType, name: str) -> None:
    stored = (REFERENCE / name).read_text(encoding="utf-8")
    assert stored == script.PAGES[name](), f"{name} is stale: run python scripts/write_reference.py"


def test_every_combiner_and_option_is_described() -> None:
    page = (REFERENCE / "combiners.md").read_text(encoding="utf-8")
    for name in COMBINERS.names():
        section = page.partition(f"## {name}\n")[2].partition("\n## ")[0]
        missing = [option for option in COMBINERS.options(name) if f"`{option}`" not in section]
        assert section and not missing, f"combiners.md: {name} lacks {missing or 'its section'}"


def test_every_metric_is_described() -> None:
    page = (REFERENCE / "metrics-json.md").read_text(encoding="utf-8")
    assert not [name for name in METRICS if f"| `{name}` |" not in page]


def test_every_error_is_described_with_its_exit_code() -> None:
    page = (REFERENCE / "errors-and-exit-codes.md").read_text(encoding="utf-8")
    for name, error in inspect.getmembers(errors, inspect.isclass):
        if issubclass(error, errors.CommitteeError):
            assert f"| `{name}` | {error.exit_code} |" in page
