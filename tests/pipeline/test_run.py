"""Whole runs, from the command line and from Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from committee.pipeline.run import run
from committee.pipeline.shared.best import best_models
from committee.pipeline.stages.evaluate import Evaluate
from committee.recipe.load import load_recipe
from committee.store.layout import Store

ENSEMBLES = ["hard_voting_ensemble", "logit_averaging_ensemble", "soft_voting_ensemble", "weighted_ensemble"]


@pytest.fixture
def arguments(trained: Store, tiny_settings: list[str]) -> list[str]:
    """The arguments of every command: the recipe and the store."""
    settings = [*tiny_settings, "exports.formats=[state_dict]"]
    return ["--store", str(trained.root), *(each for setting in settings for each in ("--set", setting))]


def test_stage_by_stage(trained: Store, arguments: list[str], cli: Callable[..., object]) -> None:
    result = cli("train", *arguments)
    assert (result.code, result.out) == (
        0,
        "Members\nname         result\ntest_resnet  trained\ntest_vit     trained\n"
        "Next: committee build-ensemble\n",
    )
    assert cli("discover", *arguments).code == 0
    built = cli("build-ensemble", *arguments, "--json")
    assert built.code == 0 and sorted(json.loads(built.out)["done"]) == ENSEMBLES
    rows = json.loads(cli("evaluate", *arguments, "--json").out)
    assert sorted(row["name"] for row in rows) == sorted([*ENSEMBLES, "test_resnet", "test_vit"])
    board = cli("leaderboard", "--store", trained.root, "--wide")
    assert board.code == 0
    lines = board.out.splitlines()
    assert lines[1].split("  ")[0] == "name" and "networks" in lines[1]
    assert {line.split()[1] for line in lines[2:]} == {"refit"}
    assert [line.split()[0] for line in lines[2:]] == [row["name"] for row in rows]
    assert all("random" in line for line in lines if line.startswith("test_"))
    detailed = cli("leaderboard", "--store", trained.root, "--model-name", "weighted")
    assert detailed.code == 0
    assert [line for line in detailed.out.splitlines() if "disagree" in line] == [
        "Samples on which the members disagree most, among those that the ensemble was fitted on",
        "sample  class  votes       disagreement",
    ]
    found = cli("leaderboard", "--store", trained.root, "--model-name", "weighted", "--json")
    assert json.loads(found.out) == next(row for row in rows if row["name"] == "weighted_ensemble")
    assert cli("export", *arguments, "--model-name", "soft_voting").code == 0
    assert json.loads((trained.deploy("soft_voting_ensemble") / "export_status.json").read_text("utf-8"))


def test_where_every_backbone_fails_nothing_is_reported_as_made(
    tmp_path: Path, digits_file: Path, own_nets: str, cli: Callable[..., object]
) -> None:
    settings = [
        f"dataset.path={digits_file}",
        "dataset.channels=1",
        "dataset.img_size=8",
        "device=cpu",
        f"backbones.include=['{own_nets}:short']",
    ]
    arguments = [each for setting in settings for each in ("--set", setting)]
    result = cli("run", "--store", tmp_path / "store", *arguments)
    assert result.code == 1
    assert "Made:" not in result.out and "own_nets_short" in result.out


def test_one_command_with_a_failing_backbone(
    trained: Store, arguments: list[str], own_nets: str, cli: Callable[..., object]
) -> None:
    include = f"backbones.include=[{own_nets}:short, timm:test_resnet, timm:test_vit]"
    result = cli("run", *arguments, "--set", include, "--json")
    assert result.code == 3
    rows = json.loads(result.out)
    assert rows[-1]["name"] == "own_nets_short" and "logits of shape" in rows[-1]["failed"]
    assert sorted(row["name"] for row in rows[:-1]) == sorted([*ENSEMBLES, "test_resnet", "test_vit"])
    packages = {path.name for path in (trained.root / "deploy").iterdir()}
    assert packages == set(best_models(trained))
    assert len(packages & {*ENSEMBLES}) == len(packages & {"test_resnet", "test_vit"}) == 1
    table = cli("leaderboard", "--store", trained.root)
    assert table.code == 3
    lines = table.out.splitlines()
    assert lines[-1].startswith("failed: own_nets_short: ") and "logits of shape" in lines[-1]
    assert not any(line.startswith("own_nets_short") for line in lines)


def test_a_python_builder_needs_a_recipe_that_names_it(
    store: Store, tiny_settings: list[str], own_nets: str
) -> None:
    settings = [*tiny_settings, "exports.enable=false", f"backbones.include=[{own_nets}:small]"]
    outcome = run(load_recipe(None, settings), store)
    assert outcome.exit_code == 0 and set(outcome.done) == {*ENSEMBLES, "own_nets_small"}
    outcome = Evaluate(batch=2).run(load_recipe(None, ["device=cpu"]), store)
    assert outcome.done == [] and outcome.failed["own_nets_small"] == (
        f"{own_nets}:small: expected a builder that the recipe names, got one from a saved file. "
        f"If you trust this code, allow it with --trust {own_nets}:small, with backbones.trusted in the "
        "recipe, or with trusted=True in Python."
    )


def test_from_python(trained: Store, tiny_settings: list[str]) -> None:
    outcome = run(load_recipe(None, [*tiny_settings, "exports.enable=false"]), trained)
    assert outcome.exit_code == 0 and set(outcome.done) == {*ENSEMBLES, "test_resnet", "test_vit"}


@pytest.mark.parametrize("verb", ["train", "run"])
def test_a_dry_run_counts_and_writes_nothing(
    store: Store, arguments: list[str], cli: Callable[..., object], verb: str
) -> None:
    result = cli(verb, *arguments, "--store", store.root, "--dry-run")
    assert result.code == 0 and not store.root.exists()
    assert "In total 8 fits, about " in result.out
    found = json.loads(cli(verb, *arguments, "--store", store.root, "--dry-run", "--json").out)
    assert found["fits"] == 8 and found["hours"] > 0 and found["disk_mb"] > 0


def test_a_dry_run_names_what_would_fail_below_the_table(
    store: Store, arguments: list[str], own_nets: str, cli: Callable[..., object]
) -> None:
    include = f"backbones.include=[{own_nets}:short, timm:test_vit]"
    result = cli("train", *arguments, "--store", store.root, "--set", include, "--dry-run")
    lines = result.out.splitlines()
    assert lines[1] == "Members that would be trained"
    assert [line.split()[0] for line in lines[3:5]] == ["test_vit", "own_nets_short:"]


def test_a_trained_store_needs_no_data_set_in_the_recipe(trained: Store, cli: Callable[..., object]) -> None:
    result = cli("build-ensemble", "--store", trained.root, "--set", "backbones.include=[test_vit, resnet50]")
    assert result.code == 0
    assert f"resnet50 is not in the store {trained.root}: it is left out" in result.err


def test_plans_of_later_stages(trained: Store, cli: Callable[..., object]) -> None:
    result = cli("build-ensemble", "--store", trained.root, "--dry-run", "--method", "weighted")
    assert (result.code, result.out) == (
        0,
        (
            "Fitted on 191 out-of-fold rows of test_resnet, test_vit; no network is run.\n"
            "Ensembles that would be built\nensemble           fits\nweighted_ensemble  4\n"
        ),
    )
    result = cli("evaluate", "--store", trained.root, "--dry-run", "--json")
    assert json.loads(result.out) == {"members": ["test_resnet", "test_vit"], "ensembles": []}
    assert trained.ensembles() == () and not trained.catalog.exists()


def test_no_evaluated_model(store: Store, cli: Callable[..., object]) -> None:
    store.root.mkdir()
    result = cli("leaderboard", "--store", store.root)
    assert result.code == 1
    assert result.err == (
        f"committee: {store.root}: expected evaluated models, got none. "
        "Train some with: committee run RECIPE\n"
    )


def test_no_such_metric(trained: Store, arguments: list[str], cli: Callable[..., object]) -> None:
    result = cli("leaderboard", "--store", trained.root, "--metric", "acuracy")
    assert result.code == 2 and "Did you mean 'accuracy'?" in result.err


def test_no_store(tmp_path: Path, cli: Callable[..., object]) -> None:
    for verb in ("discover", "build-ensemble", "evaluate"):
        result = cli(verb, "--store", tmp_path / "nowhere")
        assert result.code == 1
        assert result.err == (
            f"committee: {tmp_path / 'nowhere'}: the store does not exist. "
            "Create a store with: committee train RECIPE, or name another with --store.\n"
        )
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_run_is_resumed_to_the_same_bytes(
    tiny_settings: list[str], tmp_path: Path, cli: Callable[..., object]
) -> None:
    settings = [
        *tiny_settings,
        "backbones.include=[timm:test_resnet]",
        "training.folds=2",
        "runs.score_ensemble.methods=[soft_voting]",
        "exports.formats=[state_dict]",
    ]
    arguments = ["run", *(each for setting in settings for each in ("--set", setting)), "--store"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen(
        [sys.executable, "-m", "committee", *arguments, killed],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    while not (killed / "checkpoints" / "test_resnet" / "fold_0").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not (killed / "ensembles").exists()
    assert cli(*arguments, killed).code == cli(*arguments, whole).code == 0
    assert stored_bytes(killed) == stored_bytes(whole)


def stored_bytes(root: Path) -> dict[str, bytes]:
    """Return all arrays and weights of a store; other files contain times."""
    files = [*root.rglob("*.npy"), *root.rglob("*.safetensors")]
    assert len(files) > 15
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("file", "backbone"),
    [
        ("orchestration.yaml", "backbones.include=[timm:test_resnet]"),
        ("short.yaml", "models=[{name: timm:test_resnet, lr: 3e-4}]"),
    ],
)
def test_recipes_in_both_layouts_run(
    file: str, backbone: str, store: Store, digits_file: Path, cli: Callable[..., object]
) -> None:
    settings = [
        f"dataset.path={digits_file}",
        "dataset.channels=1",
        "img_size=32",
        "n_classes=10",
        backbone,
        "folds=2",
        "epochs=3",
        "training.lr=0.003",
        "device=cpu",
        "training.pretrained=false",
        "runs.score_ensemble.methods=[soft_voting]",
        "runs.score_ensemble.contributions_budget=0",
    ]
    later = file == "orchestration.yaml"
    if later:
        settings += [
            "runs.stacking.meta_learners=[lr]",
            "pruning.methods=[greedy_forward]",
            "runs.meta_fuser.fuser_type=lr",
            "exports.which=[stacking_lr]",
            "distillation.student=timm:test_resnet",
            "distillation.epochs=1",
            "distillation.seeds=0",
        ]
    else:
        settings.append("exports.formats=[state_dict]")
    recipe = Path(__file__).parents[1] / "recipe" / "data" / file
    arguments = [each for setting in settings for each in ("--set", setting)]
    result = cli("run", recipe, "--store", store.root, *arguments)
    assert result.code == (3 if later else 0)
    assert "soft_voting_ensemble" in result.out
    if later:
        assert "meta_fuser without fusion_concat_mlp: " in result.err
        assert {"meta_fuser", "pruned_greedy_forward"} <= set(store.ensembles())
        lines = result.err.splitlines()
        first = lines.index("3 fits of 1 member on cpu, 1 at a time")
        said = [line.partition(" has no effect: ")[0] for line in lines[:first]]
        assert said[:5] == [
            "runs.score_ensemble.optimize_weights",
            "runs.score_ensemble.optimization_metric",
            "runs.stacking.mlp_config",
            "runs.stacking.xgb_config",
            "runs.meta_fuser.mlp_config",
        ]
        assert said[5].startswith("soup_greedy_test_resnet is left out: ")
        status = json.loads((store.deploy("stacking_lr") / "export_status.json").read_text("utf-8"))[
            "formats"
        ]
        assert status.keys() == {each.name for each in load_recipe(recipe).exports.formats}
        failed = {name: entry["reason"] for name, entry in status.items() if entry["status"] != "done"}
        # TFLite has an environment of its own, which a machine may have.
        assert failed.keys() <= {"tflite"}
        assert all("committee export-env tflite" in reason for reason in failed.values())


@pytest.mark.parametrize("verb", ["run", "evaluate", "leaderboard"])
def test_a_metric_is_checked_before_anything_runs(
    verb: str, store: Store, arguments: list[str], cli: Callable[..., object]
) -> None:
    result = cli(verb, *arguments, "--store", store.root, "--metric", "acuracy")
    assert result.code == 2 and result.err.endswith("got 'acuracy'. Did you mean 'accuracy'?\n")
    assert not store.root.exists()


def test_a_dry_run_of_all_stages_says_what_follows(
    store: Store, arguments: list[str], cli: Callable[..., object]
) -> None:
    result = cli("run", *arguments, "--store", store.root, "--set", "exports.formats=[onnx]", "--dry-run")
    later_stages = result.out.partition("Stages that would follow")[2].split()
    assert later_stages[:4] == ["stage", "makes", "score_ensemble", "soft_voting_ensemble,"]
    assert later_stages[-3:] == ["evaluate", "export", "onnx"]
    assert not store.root.exists()
