"""The reference pages agree with the code."""

from __future__ import annotations

import importlib.util
import inspect
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

from committee import errors
from committee.combiners.base import COMBINERS
from committee.metrics.classification import METRICS

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("write_reference", ROOT / "scripts" / "write_reference.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["command-line.md", "recipe.md", "families.md"])
def test_written_pages_are_fresh(script: ModuleType, name: str) -> None:
    stored = (REFERENCE / name).read_text(encoding="utf-8")
    assert stored == script.PAGES[name](), f"{name} is stale: run python scripts/write_reference.py"


def test_every_combiner_and_option_is_described() -> None:
    page = (REFERENCE / "families.md").read_text(encoding="utf-8").partition("\n## Combiner\n")[2]
    page = page.partition("\n## ")[0]
    for name in COMBINERS.names():
        section = page.partition(f"### {name}\n")[2].partition("\n### ")[0]
        missing = [option for option in COMBINERS.options(name) if f"`{option}`" not in section]
        assert section and not missing, f"families.md: {name} lacks {missing or 'its section'}"


def test_every_option_has_a_meaning() -> None:
    page = (REFERENCE / "families.md").read_text(encoding="utf-8")
    assert not [line for line in page.splitlines() if line.startswith("| `") and line.endswith("|  |")]


def test_entries_of_other_packages_are_listed(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("guest_voting", "committee.combiners.soft_voting:SoftVoting", COMBINERS.package)
    monkeypatch.setitem(COMBINERS._external, "guest_voting", point)
    assert "### guest_voting\n" in script.families()


def test_every_metric_is_described() -> None:
    page = (REFERENCE / "metrics-json.md").read_text(encoding="utf-8")
    assert not [name for name in METRICS if f"| `{name}` |" not in page]


def test_every_error_is_described_with_its_exit_code() -> None:
    page = (REFERENCE / "errors-and-exit-codes.md").read_text(encoding="utf-8")
    for name, error in inspect.getmembers(errors, inspect.isclass):
        if issubclass(error, errors.CommitteeError):
            assert f"| `{name}` | {error.exit_code} |" in page


def test_every_folder_is_in_the_architecture() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    package = ROOT / "src" / "committee"
    folders = [path.parent.relative_to(package).as_posix() for path in package.rglob("*/__init__.py")]
    assert not [folder for folder in folders if f"| `{folder}/` |" not in page]


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 8192
