"""An addition is one file: new entries of each family work everywhere, through entry points alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from committee.base.registry import Family

ROOT = Path(__file__).parents[1]
PACKAGE = Path(__file__).parent / "additions"
ENTRIES = {
    "committee.combiners": "second:Second",
    "committee.exporters": "sealed:Sealed",
    "committee.training.plans": "plain:Plain",
    "committee.training.soups": "newest:Newest",
    "committee.models.fusions": "summed:Summed",
    "committee.pruning": "last_first:LastFirst",
    "committee.images.readers": "blobs:Blobs",
    "committee.predictions.files": "pairs:Pairs",
    "committee.backbones.sources": "own:Own",
    "committee.pipeline.stages": "farewell:Farewell",
    "committee.debug": "greeting:Greeting",
}
"""Family -> module and class of its new entry in `tests/additions`; the module's name is the key."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Install the package, use it in a new process, and return what was found."""
    place = tmp_path_factory.mktemp("additions")
    facts = place / "additions-1.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: additions\nVersion: 1.0\n", encoding="utf-8"
    )
    lines = [
        f"[{family}]\n{entry.partition(':')[0]} = additions.{entry}\n" for family, entry in ENTRIES.items()
    ]
    (facts / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    paths = [str(place), str(PACKAGE.parent), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, str(PACKAGE / "_use.py"), str(ROOT / "scripts")],
        cwd=place,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((place / "found.json").read_text(encoding="utf-8"))


def keys() -> list[str]:
    return [entry.partition(":")[0] for entry in ENTRIES.values()]


def test_every_family_of_the_package_that_a_recipe_or_the_command_line_names_has_an_addition() -> None:
    for family in ENTRIES:
        assert Family(family, "entry").names()


def test_the_registry_loads_them_and_reads_their_constants(found) -> None:
    assert found["loaded"] == {family: entry.partition(":")[2] for family, entry in ENTRIES.items()}


@pytest.mark.parametrize("key", ["sealed", "plain", "newest", "summed", "last_first", "blobs", "second"])
def test_the_schema_of_the_recipe_accepts_them(found, key: str) -> None:
    assert f'"{key}"' in found["schema"]


def test_help_lists_the_verb_of_a_stage_and_its_options(found) -> None:
    assert "  farewell        Write a farewell" in found["help"]
    assert "--name NAME" in found["farewell --help"] and "who leaves" in found["farewell --help"]


@pytest.mark.parametrize("key", keys())
def test_the_reference_names_them(found, key: str) -> None:
    assert f"`{key}`" in found["reference"] or f"### {key}\n" in found["reference"]


def test_a_dry_run_names_what_they_would_make(found) -> None:
    text = found["run --dry-run"]
    assert "own:tiny" in text and "second_ensemble" in text and "pruned_last_first" in text
    assert "farewell" in text and "fusion_summed" in text


def test_a_run_makes_it(found) -> None:
    assert {"tiny_s0", "tiny_s1", "fusion_summed", "soup_newest_tiny_s0"} <= set(found["members"])
    assert {"second_ensemble", "pruned_last_first"} <= set(found["ensembles"])
    assert found["farewell"] == "Goodbye, world\n"


def test_predict_opens_the_file_of_the_new_format(found) -> None:
    assert found["file"].endswith(".sealed")
    answers = found["predict"]["predictions"]
    assert len(answers) == 1 and answers[0]["prediction"] in ("dark", "light")


def test_the_new_combiner_saves_and_loads(found) -> None:
    assert found["difference"] == 0


def test_combine_reads_the_new_prediction_format(found) -> None:
    assert "soft_voting" in found["combine"]


def test_debug_runs_the_new_section_and_the_new_stage(found) -> None:
    assert [(row["section"], row["result"]) for row in found["debug"]] == [
        ("greeting", "ok"),
        ("farewell", "ok"),
    ]
