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
from collections.abc import Sequence
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
    "guest_order": "committee.pruning",
    "guest_plan": "committee.training.plans",
    "guest_program": "committee.exporters",
    "guest_soup": "committee.training.soups",
    "guest_sum": "committee.models.fusions",
}
"""The entry points of the package: file -> family."""
FILE = "store/deploy/guest_median_ensemble/guest_program"
RUN, STORE = ("run", "recipe.yaml"), ("--store", "store")
COMMANDS: dict[str, Sequence[str]] = {
    "schema": ["schema"],
    "help": ["--help"],
    "help of the verb": ["guest-audit", "--help"],
    "help of combine": ["combine", "--help"],
    "help of debug": ["debug", "--help"],
    "dry run": [*RUN, "--store", "nowhere", "--dry-run"],
    "misspelled section": [*RUN, "--set", "guest_audti.file=x", "--dry-run"],
    "misspelled key": [*RUN, "--set", "guest_audit.fiel=x", "--dry-run"],
    "misspelled format": [*RUN, "--set", "exports.formats=[guest_progam]", "--dry-run"],
    "combine": ["combine", "a.lines", "b.lines", "c.lines", "--method", "guest_median", "--json"],
    "run": [*RUN, *STORE],
    "leaderboard": ["leaderboard", *STORE, "--json"],
    "one member": ["leaderboard", *STORE, "--model-name", "one", "--json"],
    "discover": ["discover", *STORE, "--json"],
    "predict with the store": ["predict", "guest_median", "photo.png", *STORE, "--json"],
    "predict with the folder": ["predict", FILE, "photo.png", "--json"],
    "predict with the file": ["predict", f"{FILE}/model.pt2", "photo.png", "--json"],
    "dry run of the verb": ["guest-audit", "recipe.yaml", *STORE, "--dry-run"],
    "verb": ["guest-audit", "recipe.yaml", *STORE, "--file", "again.txt", "--json"],
    "debug guest_count": ["debug", "recipe.yaml", *STORE, "--section", "guest_count", "--json"],
    "debug guest_audit": ["debug", "recipe.yaml", *STORE, "--section", "guest_audit", "--json"],
}
"""What is run, in this order."""
PROGRAM = """
import contextlib, io, json, pickle, runpy, sys
from committee.cli.main import main
from committee.recipe.load import load_recipe

results = []
for words in json.load(open("commands.json")):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words)
    results.append([code, out.getvalue(), err.getvalue()])
pages = {name: page() for name, page in runpy.run_path(sys.argv[1])["PAGES"].items()}
json.dump([results, pages], open("results.json", "w"))
pickle.dump(load_recipe("recipe.yaml"), open("recipe.pickle", "wb"))
"""
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
    for name in ("a", "b", "c"):
        (folder / f"{name}.lines").write_text(lines_of(random), encoding="utf-8")
    return folder


def lines_of(random: np.random.Generator) -> str:
    """Return predictions of 90 samples and 3 classes in the format of the guest."""
    labels = np.arange(90) % 3
    values = random.dirichlet(np.ones(3), 90) + 2 * np.eye(3)[labels]
    rows = []
    for row, (each, label) in enumerate(zip(values / values.sum(1, keepdims=True), labels, strict=True)):
        shares = " ".join(f"k{index}={share:.6f}" for index, share in enumerate(each))
        rows.append(f"r{row} {shares} true=k{label}")
    return "\n".join(rows)


@pytest.fixture(scope="module")
def environment(guest: Path) -> dict[str, str]:
    """The environment of a process that has the project and the guest in its path."""
    path = os.pathsep.join([str(Path(committee.__file__).parents[1]), str(guest)])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}


@pytest.fixture(scope="module")
def used(environment: dict[str, str], work: Path) -> dict[str, Any]:
    """The results of `COMMANDS`, run one after the other in one process, and the pages of the reference."""
    (work / "commands.json").write_text(json.dumps(list(COMMANDS.values())), encoding="utf-8")
    script = ROOT / "scripts" / "write_reference.py"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(script)],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    results, pages = json.loads((work / "results.json").read_text(encoding="utf-8"))
    return {**{name: Result(*each) for name, each in zip(COMMANDS, results, strict=True)}, "pages": pages}


@pytest.fixture(scope="module")
def store(used: dict[str, Any], work: Path) -> Path:
    """The store of the run of the recipe."""
    assert used["run"].code == 0, used["run"].err
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


def test_the_schema_has_the_names_and_the_section_of_the_stage(used) -> None:
    schema = used["schema"].json()
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


def test_help_has_the_verb_of_the_stage_and_the_suffix_of_the_format(used) -> None:
    overview = used["help"]
    assert re.search(r"guest-audit +Count the ensembles of the store", overview.out)
    verb = used["help of the verb"]
    assert verb.code == 0 and "--file FILE" in verb.out and "Count the ensembles of the store" in verb.out
    assert ".lines" in used["help of combine"].out
    debug = used["help of debug"].out
    assert "guest_count" in debug and "guest_audit" in debug


def test_the_reference_names_every_entry(used) -> None:
    pages = used["pages"]
    for name in GROUPS:
        assert f"### {name}\n" in pages["families.md"]
    assert "## guest-audit\n" in pages["command-line.md"]
    assert "## guest_audit\n\nAudit of the ensembles of a store." in pages["recipe.md"]
    assert "`guest_program`" in pages["recipe.md"]


def test_a_dry_run_names_what_the_entries_make(used, work: Path) -> None:
    done = used["dry run"]
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


def test_a_misspelled_name_is_corrected(used) -> None:
    done = used["misspelled section"]
    assert done.code == 2 and "Did you mean 'guest_audit'?" in done.err
    done = used["misspelled key"]
    assert done.code == 2 and "Did you mean 'file'?" in done.err
    done = used["misspelled format"]
    assert done.code == 2 and "Did you mean 'guest_program'?" in done.err


def test_a_recipe_with_the_section_is_read_by_another_process(store, work, environment) -> None:
    """Fits and packages are made by several processes, which get the recipe pickled."""
    read = "import pickle; print(pickle.load(open('recipe.pickle', 'rb')).guest_audit.file)"
    done = subprocess.run(
        [sys.executable, "-c", read], cwd=work, env=environment, capture_output=True, text=True
    )
    assert done.stdout == "counted.txt\n", done.stderr


def test_a_run_uses_all_entries(store: Path, used) -> None:
    names = {report["name"] for report in used["leaderboard"].json()}
    assert {"one", "two", "guest_median_ensemble", "fusion_guest_sum", "pruned_guest_order"} <= names
    assert any(name.startswith("soup_guest_soup") for name in names)
    report = used["one member"].json()
    assert report["provenance"]["motto"] == "more is more" and report["backbone"] == "guest_nets:tiny"
    assert (store / "counted.txt").read_text() == "3 ensembles\n"
    assert (store / "deploy" / "guest_median_ensemble" / "guest_program" / "model.pt2").is_file()
    assert used["discover"].json()["left_out"] == []


@pytest.mark.parametrize("path", ["folder", "file"])
def test_predict_opens_the_file_of_the_new_format(path: str, used) -> None:
    expected = used["predict with the store"].json()
    found = used[f"predict with the {path}"].json()
    assert found["model"] == "guest_median_ensemble"
    (one,), (other,) = found["predictions"], expected["predictions"]
    assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-5)


def test_the_verb_of_the_stage_runs_it_alone(store: Path, used) -> None:
    done = used["verb"]
    assert done.json()["ensembles"] == 3 and (store / "again.txt").is_file()
    plan = used["dry run of the verb"]
    assert plan.out == "The audit would be written to counted.txt.\n"


def test_combine_reads_the_new_prediction_file(used) -> None:
    found = used["combine"].json()
    assert found["method"] == "guest_median" and found["members"] == ["a", "b", "c"]


@pytest.mark.parametrize("section", ["guest_count", "guest_audit"])
def test_debug_runs_the_sections(section: str, used) -> None:
    done = used[f"debug {section}"]
    (row,) = done.json()
    assert (row["section"], row["result"]) == (section, "ok")


def test_the_contract_tests_cover_the_entries(environment: dict[str, str]) -> None:
    folders = {
        "combiners/test_contract.py": "guest_median",
        "exporters/test_contract.py": "guest_program",
        "exporters/test_onnx_combiners.py": "guest_median",
        "models/fusions/test_contract.py": "guest_sum",
        "pruning/test_contract.py": "guest_order",
        "training/soups/test_contract.py": "guest_soup",
        "training/plans/test_contract.py": "guest_plan",
        "pipeline/stages/test_contract.py": "guest_audit",
    }
    tests = [f"tests/{file}" for file in folders]
    chosen = " or ".join(dict.fromkeys(folders.values()))
    options = ["-p", "no:cacheprovider", "-rA", "-k", chosen]
    command = [sys.executable, "-m", "pytest", *options, *tests]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:]
    for file, name in folders.items():
        assert re.search(rf"PASSED tests/{re.escape(file)}\S*{name}", done.stdout), file
