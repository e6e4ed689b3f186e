"""What people install holds every family and every verb."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import committee

ROOT = Path(committee.__file__).parents[2]
SAY = """
import json, committee
from committee.cli.main import verbs
from committee.base.registry import Family
packages = ["combiners", "exporters", "images.readers", "prediction_files", "training.plans"]
families = {name: Family(f"committee.{name}", "").names() for name in packages}
print(json.dumps([committee.__file__, families, verbs()]))
"""


def say(folder: Path) -> tuple[Path, object, object]:
    done = subprocess.run(
        [sys.executable, "-c", SAY],
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
        assert {"committee/py.typed"} < set(archive.namelist())
    file, families, verbs = say(installed)
    assert installed.resolve() in file.resolve().parents
    assert (families, verbs) == say(ROOT / "src")[1:]
    assert all(dict(families).values())
