"""The wheel contains every family and every verb."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import committee

ROOT = Path(committee.__file__).parents[2]
PROGRAM = """
import json, re, committee
from pathlib import Path
from committee.cli.main import verbs
from committee.base.registry import Family
sources = "".join(path.read_text("utf-8") for path in Path(committee.__file__).parent.rglob("*.py"))
groups = sorted(set(re.findall(r' = Family\\(\"(committee[a-z_.]+)\"', sources)))
print(json.dumps([committee.__file__, {name: Family(name, "").names() for name in groups}, verbs()]))
"""


def contents(folder: Path) -> tuple[Path, dict[str, list[str]], list[str]]:
    """Return the file of the package in a folder, the entries of its families, and its verbs."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    file, families, verbs = json.loads(done.stdout)
    return Path(file), families, verbs


def test_the_wheel_lists_all_families(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
        assert {"committee/py.typed", "committee/pipeline/bundling/page.html"} < set(archive.namelist())
    file, families, verbs = contents(installed)
    assert installed.resolve() in file.resolve().parents
    assert (families, verbs) == contents(ROOT / "src")[1:]
    assert len(families) > 9 and all(families.values())
