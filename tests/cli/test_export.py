"""The verb export: which models are packaged, in which formats, and what is reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from committee.pipeline.shared.records import model_source
from committee.store.commit import commit, write_json
from committee.store.hashes import hash_file
from committee.store.layout import Store

ALL = ("--set", "exports.which=all")


@pytest.fixture
def arguments(tiny_settings, trained) -> list[object]:
    """The options that every verb here takes: the recipe's values, and a trained store."""
    return [*(word for value in tiny_settings for word in ("--set", value)), "--store", trained.root]


def test_dry_run_writes_nothing(cli, arguments, trained):
    result = cli("export", *arguments, *ALL, "--formats", "onnx,checkpoint", "--dry-run", "--json")
    assert result.code == 0
    plan = json.loads(result.out)
    assert [(row["name"], row["format"]) for row in plan["packages"]] == [
        ("test_resnet", "onnx"),
        ("test_resnet", "checkpoint"),
        ("test_vit", "onnx"),
        ("test_vit", "checkpoint"),
    ]
    assert not (trained.root / "deploy").exists()


def test_writes_elsewhere_and_not_twice(cli, arguments, trained, tmp_path):
    command = [
        "export",
        *arguments,
        "--model-name",
        "test_vit",
        "--formats",
        "checkpoint",
        "--out",
        tmp_path / "out",
    ]
    result = cli(*command)
    assert result.code == 0
    title, _, row = result.out.splitlines()
    assert title == f"Packages in {(tmp_path / 'out').as_posix()}" and row.split()[0] == "test_vit/checkpoint"
    manifest = tmp_path / "out" / "test_vit" / "checkpoint" / "manifest.json"
    first = manifest.stat().st_mtime_ns
    assert cli(*command).code == 0
    assert manifest.stat().st_mtime_ns == first
    assert not (trained.root / "deploy").exists()


def test_what_is_up_to_date_is_not_loaded_and_its_card_follows_the_recipe(
    cli, arguments, trained, monkeypatch
):
    from committee.pipeline.shared import package_model

    command = ["export", *arguments, "--model-name", "test_vit", "--formats", "checkpoint,state_dict"]
    assert cli(*command).code == 0
    monkeypatch.setattr(package_model, "load_model", lambda *_, **__: pytest.fail("the model was loaded"))
    again = cli(*command)
    assert again.code == 0 and "test_vit/checkpoint" in again.out
    folder = trained.deploy("test_vit")
    texts = ("--set", "model_card.license=mit", "--set", "model_card.intended_use=Sorting mail.")
    assert cli(*command, *texts).code == 0
    card = ModelCard((folder / "README.md").read_text(encoding="utf-8"))
    assert (card.data.license, card.data.model_name) == ("mit", "test_vit")
    assert "**What the model is for:** Sorting mail." in card.text and "Not evaluated" in card.text
    sums = json.loads((folder / "checksums.json").read_text(encoding="utf-8"))
    for name, checksum in sums.items():
        assert hash_file(folder / name) == checksum, name
        assert (f"| `{name}` | `{checksum}` |" in card.text) is (name != "README.md")
    monkeypatch.undo()
    assert cli(*command, "--set", "project.name=other").code == 0
    metadata = json.loads((trained.deploy("test_vit") / "metadata.json").read_text(encoding="utf-8"))
    assert metadata["project"]["name"] == "other"


def test_a_store_far_from_its_images_is_exported_all_the_same(cli, trained):
    record = trained.dataset_folder() / "samples.json"
    assert "digits.npz" in record.read_text(encoding="utf-8")
    moved = ["--set", "dataset.path=nowhere.npz", "--store", trained.root]
    result = cli("export", *moved, "--model-name", "test_vit", "--formats", "state_dict", "--json")
    assert result.code == 0, result
    shapes = json.loads(result.out)["packages"][0]["formats"]["state_dict"]["parity"]["shapes"]
    assert shapes[0] == "4x1x37x37"


def test_an_unknown_model_is_named(cli, arguments, trained):
    result = cli("export", *arguments, "--model-name", "test_wit")
    assert result.code == 2
    assert result.err == (
        f"committee: {trained.root}: expected one of test_resnet, test_vit, got 'test_wit'. "
        "Did you mean 'test_vit'?\n"
    )


def test_an_unknown_format_is_named(cli, arguments):
    result = cli("export", *arguments, "--formats", "onxx")
    assert result.code == 2
    assert "'onxx'" in result.err and "Did you mean 'onnx'?" in result.err


def test_a_failed_format_does_not_end_the_run(cli, arguments, trained: Store, monkeypatch):
    from committee.exporters.checkpoint import Checkpoint

    def fail(*_: object) -> Path:
        raise ValueError("no ink")

    monkeypatch.setattr(Checkpoint, "export", fail)
    result = cli("export", *arguments, *ALL, "--formats", "checkpoint,state_dict", "--json")
    assert result.code == 3
    found = json.loads(result.out)
    assert found["done"] == ["test_resnet", "test_vit"]
    assert found["failed"] == {
        "test_resnet (checkpoint)": "ValueError: no ink",
        "test_vit (checkpoint)": "ValueError: no ink",
    }
    formats = found["packages"][1]["formats"]
    failed = {"format": "checkpoint", "options": {}, "status": "failed", "reason": "ValueError: no ink"}
    assert formats["checkpoint"] == failed and formats["state_dict"]["parity"]["max_abs_diff"] == 0
    status = json.loads((trained.deploy("test_vit") / "export_status.json").read_text(encoding="utf-8"))
    assert status["formats"] == formats
    listed = json.loads(cli("discover", *arguments, "--json").out)["packages"]
    assert [package["name"] for package in listed] == ["test_resnet", "test_vit"]


def test_nothing_but_failures_is_a_failure(cli, arguments, monkeypatch):
    from committee.exporters.checkpoint import Checkpoint

    def fail(*_: object) -> Path:
        raise ValueError("no ink")

    monkeypatch.setattr(Checkpoint, "export", fail)
    result = cli("export", *arguments, "--model-name", "test_vit", "--formats", "checkpoint", "--json")
    assert result.code == 1
    reason = "test_vit (checkpoint): ValueError: no ink."
    assert json.loads(result.out)["failed"] == {"test_vit": reason}


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_a_store_that_is_not_there_is_named(cli, tmp_path, dry):
    result = cli("export", "--store", tmp_path / "none", *dry)
    assert (result.code, result.err) == (
        1,
        f"committee: {tmp_path / 'none'}: the store does not exist. Create a store with: "
        "committee train RECIPE, or name another with --store.\n",
    )


def test_a_store_without_models_is_an_error(cli, tmp_path: Path):
    result = cli("export", "--store", tmp_path)
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        f"committee: {tmp_path}: expected a trained member, got none. Run: committee train RECIPE\n"
    )


def evaluate(store: Store, name: str, loss: float, ms: float) -> None:
    """Write the report of a model."""
    scores = {"log_loss": {"value": loss, "low": loss, "high": loss}}
    report = {"name": name, "inference": "refit", "rows": "oof", "cross_fitted": scores, "metrics": {}}
    report |= {"latency_ms": {"median": ms}, "size_mb": 1.0, "gain": {}}
    with commit(store.member_metrics(name), kind="metrics", fingerprint=model_source(store, name)) as folder:
        write_json(folder / "metrics.json", report)


def test_the_best_are_packaged_unless_the_recipe_names_others(cli, arguments, trained: Store):
    arguments = ["export", *arguments, "--formats", "state_dict", "--dry-run", "--json"]

    def planned(*more: str) -> list[str]:
        result = cli(*arguments, *more)
        assert result.code == 0, result.err
        return [row["name"] for row in json.loads(result.out)["packages"]]

    evaluate(trained, "test_resnet", 0.3, 9.0)
    evaluate(trained, "test_vit", 0.2, 30.0)
    assert planned() == ["test_vit"]
    assert planned("--set", "pruning.cost_budget.max_latency_ms=20") == ["test_resnet"]
    assert planned(*ALL) == ["test_resnet", "test_vit"]
    assert planned("--set", "exports.which=[test_resnet]") == ["test_resnet"]
    assert planned("--model-name", "test_resnet", *ALL) == ["test_resnet"]
    result = cli(*arguments, "--set", "pruning.cost_budget.max_latency_ms=1")
    assert (result.code, result.err) == (
        1,
        f"committee: {trained.root}: expected a model within pruning.cost_budget, got none. "
        "Raise the budget, or name the models: --model-name NAME\n",
    )


def test_nothing_is_the_best_before_the_evaluation(cli, arguments, trained: Store):
    result = cli("export", *arguments)
    assert (result.code, result.err) == (
        1,
        f"committee: {trained.root}: expected evaluated models, to export the best of them, got none. "
        "Run committee evaluate, or name the models: --model-name NAME\n",
    )


@pytest.mark.parametrize("which", ["bset", "[]", "3"])
def test_an_invalid_choice_of_models_is_named(cli, arguments, which):
    result = cli("export", *arguments, "--set", f"exports.which={which}")
    assert result.code == 2
    assert result.err.startswith("committee: exports.which: expected ")
