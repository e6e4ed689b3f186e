"""Adding an entry means adding one file, which everything that is derived from the families then uses.

The package `guest` has one file for an entry of each family. It is installed beside the project, with entry
points, and used in other processes, since a process reads entry points once.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

import committee

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
GROUPS = {
    "guest_audit": "committee.pipeline.stages",
    "guest_count": "committee.debug",
    "guest_grays": "committee.images.readers",
    "guest_lines": "committee.predictions.files",
    "guest_median": "committee.combiners",
    "guest_nets": "committee.backbones.sources",
    "guest_notes": "committee.trackers",
    "guest_order": "committee.pruning",
    "guest_plan": "committee.training.plans",
    "guest_program": "committee.exporters",
    "guest_soup": "committee.training.soups",
    "guest_sum": "committee.models.fusions",
}
"""The entry points of the package: file -> family."""
RECIPE = """
dataset: {path: data.grays, channels: 1, img_size: 16, batch_size: 16}
device: cpu
seed: 3
models: [{name: "guest_nets:tiny", as: one}, {name: "guest_nets:tiny", as: two}]
training: {folds: 2, epochs: 1, warmup_epochs: 0, lr: 1e-2, plan: {name: guest_plan, motto: more is more}}
runs:
  score_ensemble: {methods: [guest_median, soft_voting]}
  model_soup: {methods: [guest_soup], over: [folds], barrier: 9, num_batches: 2}
  fusion: {fusion_methods: [guest_sum], fusion_config: {epochs: 1, hidden_dims: [8]}}
pruning: {methods: [guest_order]}
exports: {formats: [guest_program], which: [guest_median]}
guest_audit: {file: counted.txt}
tracking: {name: guest_notes, file: epochs.txt}
"""


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the package is installed in."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(Path(__file__).with_name("guest"), folder / "guest")
    info = folder / "guest-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: guest\nVersion: 1.0\n", encoding="utf-8")
    lines = []
    for name, group in GROUPS.items():
        attribute = "".join(part.capitalize() for part in name.split("_"))
        lines.append(f"[{group}]\n{name} = guest.{name}:{attribute}\n")
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    return folder


class Result(NamedTuple):
    """The exit code and the texts of a command."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Return the output as JSON."""
        assert self.code == 0, self.err
        return json.loads(self.out)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, images in the format of the guest's reader, and a photo."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    random = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = np.clip(random.normal(60, 20, (60, 12, 12)) + 60 * labels[:, None, None], 0, 255).astype(
        np.uint8
    )
    with (folder / "data.grays").open("wb") as file:
        np.savez(file, images=images, labels=labels)
    Image.fromarray(images[0].repeat(3, 0).repeat(2, 1)).save(folder / "photo.png")
    return folder


@pytest.fixture(scope="module")
def environment(guest: Path, once: Callable[..., Path]) -> dict[str, str]:
    """The environment of a process with the project and the guest in its path.

    The folders of `once` are in it, so that a process that runs tests does not train the same networks again.
    """
    path = os.pathsep.join([str(Path(committee.__file__).parents[1]), str(guest)])
    return {
        **os.environ,
        "PYTHONPATH": path,
        "PYTHONIOENCODING": "utf-8",
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "200",
    }


@pytest.fixture(scope="module")
def python(environment: dict[str, str], work: Path) -> Callable[..., Result]:
    """Run Python in this environment, in the folder of the recipe."""

    def run(*words: object, cwd: Path = work) -> Result:
        command = [sys.executable, *map(str, words)]
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
        return Result(done.returncode, done.stdout, done.stderr)

    return run


ANSWER = """
import contextlib, io, json, logging, sys
from committee.cli.main import main

for line in sys.stdin:
    logging.getLogger("committee").handlers = []
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(json.loads(line))
        except SystemExit as end:
            code = end.code
    print(json.dumps([code, out.getvalue(), err.getvalue()]), flush=True)
"""


@pytest.fixture(scope="module")
def command(environment: dict[str, str], work: Path) -> Iterator[Callable[..., Result]]:
    """Run `committee` with the guest installed; one process, which imports all once, runs all commands."""
    process = subprocess.Popen(
        [sys.executable, "-c", ANSWER],
        cwd=work,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )

    def run(*words: object) -> Result:
        process.stdin.write(json.dumps([str(word) for word in words]) + "\n")
        process.stdin.flush()
        return Result(*json.loads(process.stdout.readline()))

    with process:
        yield run


@pytest.fixture(scope="module")
def store(command, work: Path) -> Path:
    """The store of a run of the recipe."""
    done = command("run", "recipe.yaml", "--store", "store")
    assert done.code == 0, done.err + done.out
    return work / "store"


def enums(schema: Any) -> set[str]:
    """Return all values of enumerations in a JSON Schema."""
    if isinstance(schema, list):
        return set().union(*map(enums, schema))
    if not isinstance(schema, dict):
        return set()
    return {*map(str, schema.get("enum", ()))} | set().union(*map(enums, schema.values()))


def test_the_guest_is_one_file_for_each_entry() -> None:
    files = {path.stem for path in Path(__file__).with_name("guest").glob("*.py")} - {"__init__"}
    assert files == set(GROUPS)


def test_the_schema_has_the_names_and_the_section_of_the_stage(command) -> None:
    schema = command("schema").json()
    named = {
        "guest_median",
        "guest_program",
        "guest_plan",
        "guest_order",
        "guest_soup",
        "guest_sum",
        "guest_grays",
    }
    assert named <= enums(schema)
    section = schema["$defs"]["Settings"]
    assert section["properties"]["file"]["default"] == "audit.txt"
    assert "guest_audit" in schema["properties"]


def test_help_has_the_verb_of_the_stage_and_the_suffix_of_the_format(command) -> None:
    overview = command("--help")
    assert re.search(r"guest-audit +Count the ensembles of the store", overview.out)
    verb = command("guest-audit", "--help")
    assert verb.code == 0 and "--file FILE" in verb.out and "Count the ensembles of the store" in verb.out
    assert ".lines" in command("combine", "--help").out
    debug = command("debug", "--help").out
    assert "guest_count" in debug and "guest_audit" in debug


def test_the_reference_names_every_entry(python) -> None:
    script = str(ROOT / "scripts" / "write_reference.py")
    code = (
        f"import json, runpy; pages = runpy.run_path({script!r})['PAGES']; "
        "print(json.dumps({name: page() for name, page in pages.items()}))"
    )
    pages = python("-c", code).json()
    for name in GROUPS:
        assert f"### {name}\n" in pages["families.md"]
    assert "## guest-audit\n" in pages["command-line.md"]
    assert "## guest_audit\n\nAudit of the ensembles of a store." in pages["recipe.md"]
    assert "`guest_program`" in pages["recipe.md"]


def test_a_dry_run_names_what_the_entries_make(command, work: Path) -> None:
    done = command("run", "recipe.yaml", "--store", "nowhere", "--dry-run")
    assert done.code == 0, done.err
    for name in (
        "guest_median_ensemble",
        "fusion_guest_sum",
        "pruned_guest_order",
        "guest_program",
        "guest_audit",
    ):
        assert name in done.out
    assert not (work / "nowhere").exists()


def test_a_misspelled_name_is_corrected(command) -> None:
    done = command("run", "recipe.yaml", "--set", "guest_audti.file=x", "--dry-run")
    assert done.code == 2 and "Did you mean 'guest_audit'?" in done.err
    done = command("run", "recipe.yaml", "--set", "guest_audit.fiel=x", "--dry-run")
    assert done.code == 2 and "Did you mean 'file'?" in done.err
    done = command("run", "recipe.yaml", "--set", "exports.formats=[guest_progam]", "--dry-run")
    assert done.code == 2 and "Did you mean 'guest_program'?" in done.err


def test_a_run_uses_all_entries(store: Path, command) -> None:
    names = {report["name"] for report in command("leaderboard", "--store", "store", "--json").json()}
    assert {"one", "two", "guest_median_ensemble", "fusion_guest_sum", "pruned_guest_order"} <= names
    assert any(name.startswith("soup_guest_soup") for name in names)
    report = command("leaderboard", "--store", "store", "--model-name", "one", "--json").json()
    assert report["provenance"]["motto"] == "more is more" and report["backbone"] == "guest_nets:tiny"
    assert (store / "counted.txt").read_text() == "3 ensembles\n"
    lines = (store.parent / "epochs.txt").read_text().splitlines()
    assert "one/fold_0 1" in lines and any(re.match(r"finished with \d+ models", line) for line in lines)
    assert (store / "deploy" / "guest_median_ensemble" / "guest_program" / "model.guest.ts").is_file()
    assert command("discover", "--store", "store", "--json").json()["left_out"] == []


def test_predict_opens_the_file_of_the_new_format(store: Path, command) -> None:
    folder = store / "deploy" / "guest_median_ensemble" / "guest_program"
    expected = command("predict", "guest_median", "photo.png", "--store", "store", "--json").json()
    for path in (folder, folder / "model.guest.ts"):
        found = command("predict", path, "photo.png", "--json").json()
        assert found["model"] == "guest_median_ensemble"
        for one, other in zip(found["predictions"], expected["predictions"], strict=True):
            assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)


def test_the_verb_of_the_stage_runs_it_alone(store: Path, command) -> None:
    done = command("guest-audit", "recipe.yaml", "--store", "store", "--file", "again.txt", "--json")
    assert done.json()["ensembles"] == 3 and (store / "again.txt").is_file()
    plan = command("guest-audit", "recipe.yaml", "--store", "store", "--dry-run")
    assert plan.out == "The audit would be written to counted.txt.\n"


def test_combine_reads_the_new_prediction_file(command, work: Path) -> None:
    random = np.random.default_rng(1)
    labels = np.arange(90) % 3
    for name in ("a", "b", "c"):
        values = random.dirichlet(np.ones(3), 90) + 2 * np.eye(3)[labels]
        rows = [
            f"r{row} "
            + " ".join(f"k{index}={share:.6f}" for index, share in enumerate(each))
            + f" true=k{label}"
            for row, (each, label) in enumerate(
                zip(values / values.sum(1, keepdims=True), labels, strict=True)
            )
        ]
        (work / f"{name}.lines").write_text("\n".join(rows), encoding="utf-8")
    found = command("combine", "a.lines", "b.lines", "c.lines", "--method", "guest_median", "--json").json()
    assert found["method"] == "guest_median" and found["members"] == ["a", "b", "c"]
    assert found["scores"]["cross_fitted"]["accuracy"]["value"] > 0.9


@pytest.mark.parametrize("section", ["guest_count", "guest_audit"])
def test_debug_runs_the_sections(section: str, store: Path, command) -> None:
    done = command("debug", "recipe.yaml", "--store", "store", "--section", section, "--json")
    (row,) = done.json()
    assert (row["section"], row["result"]) == (section, "ok")


# Readers and prediction files are tested on files of their own format, which only their own tests can write.
@pytest.mark.slow
def test_the_contract_tests_cover_the_entries(python, work: Path) -> None:
    folders = {
        "combiners/test_contract.py": "guest_median",
        "exporters/test_contract.py": "guest_program",
        "exporters/test_onnx_combiners.py": "guest_median",
        "models/fusions/test_contract.py": "guest_sum",
        "pruning/test_contract.py": "guest_order",
        "training/soups/test_contract.py": "guest_soup",
        "training/plans/test_contract.py": "guest_plan",
        "pipeline/stages/test_contract.py": "guest_audit",
        "trackers/test_contract.py": "guest_notes",
    }
    tests = [f"tests/{file}" for file in folders]
    chosen = " or ".join(dict.fromkeys(folders.values()))
    options = ["-p", "no:cacheprovider", "--rootdir", ROOT, "-q", "-rA", "-k", chosen]
    done = python("-m", "pytest", *options, *tests, cwd=ROOT)
    assert done.code == 0, done.out[-4000:]
    for file, name in folders.items():
        assert re.search(rf"PASSED tests/{re.escape(file)}\S*{name}", done.out), file
