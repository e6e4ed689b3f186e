"""Fusion in a store: embeddings that are extracted once, and heads that are trained on them."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from committee.errors import UsageError
from committee.pipeline.discover import discover
from committee.pipeline.run import run_verb
from committee.pipeline.shared.records import ensemble_facts
from committee.pipeline.stages import fusion as module
from committee.pipeline.stages.evaluate import Evaluate
from committee.pipeline.stages.fusion import Fusion
from committee.pipeline.stages.meta_fuser import MetaFuser
from committee.pipeline.stages.train import Train
from committee.recipe.load import load_recipe
from committee.recipe.model import Recipe
from committee.store.layout import Store
from committee.store.manifest import read_manifest

ALL = "runs.fusion.fusion_methods=[concat_mlp, attention, bilinear]"
SMALL = "runs.fusion.fusion_config={hidden_dims: [16], epochs: 2}"


def recipe(*overrides: str) -> Recipe:
    fixed = ["device=cpu", "exports.formats=[state_dict, onnx]", "runs.score_ensemble.contributions_budget=0"]
    return load_recipe(None, [*fixed, SMALL, *overrides])


def test_each_head_is_a_member_like_any_other(trained: Store) -> None:
    outcome = Fusion().run(recipe(ALL), trained)
    names = ["fusion_concat_mlp", "fusion_attention", "fusion_bilinear"]
    assert (outcome.done, outcome.failed) == (names, {})
    assert set(names) <= set(Evaluate().run(recipe(), trained).done)
    report = json.loads((trained.ensemble_metrics(names[0]) / "metrics.json").read_text("utf-8"))
    assert report["of"] == ["test_resnet", "test_vit"] and report["latency_ms"]["networks"] == 2
    assert "best single member" in report["gain"]["log_loss"]["against"]
    both = recipe("runs.members=[fusion_bilinear, test_resnet]")
    assert run_verb("build-ensemble", both, trained, methods=["soft_voting"]).done == ["soft_voting_ensemble"]
    assert ensemble_facts(trained, "soft_voting_ensemble")["members"] == ["fusion_bilinear", "test_resnet"]
    fuser = (
        "runs.meta_fuser={input_ensembles: [soft_voting, fusion_attention], fuser_type: mlp, "
        "mlp_config: {epochs: 1, hidden_dims: [8]}}"
    )
    assert MetaFuser().run(recipe(fuser), trained).done == ["meta_fuser"]
    assert run_verb("export", recipe("exports.formats=[state_dict]"), trained, models=[names[1]]).failed == {}
    # The graph of the fusion is a part of this one.
    assert run_verb("export", recipe(), trained, models=["meta_fuser"]).failed == {}


def test_embeddings_are_stored_and_extracted_once(trained: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    Fusion().run(recipe(), trained)
    folder = trained.root / "ensembles" / "fusion_embeddings" / "test_vit"
    assert folder == trained.fusion_embeddings("test_vit")
    found = np.load(folder / "train.npy", mmap_mode="r")
    assert found.shape == (191, 64) and len(np.load(folder / "test.npy")) == 49
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == ["fold_0", "fold_1", "fold_2"]
    for place in (folder, folder / "fold_1"):
        assert np.load(place / "val.npy", mmap_mode="r").shape == (0, 64)
    reasons = json.loads((folder / "empty.json").read_text("utf-8"))
    assert reasons == {"val": "The data set has no val split."}
    assert read_manifest(folder).facts["member"] == "test_vit"
    assert not np.allclose(found, np.load(folder / "fold_1" / "train.npy"))
    monkeypatch.setattr(module, "extract", lambda *_, **__: pytest.fail("extracted again"))
    assert Fusion().run(recipe("runs.fusion.fusion_methods=[bilinear]"), trained).done == ["fusion_bilinear"]


def test_embeddings_of_other_networks_are_extracted_again(
    trained: Store, tiny_settings: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    Fusion().run(recipe(), trained)
    old = np.load(trained.fusion_embeddings("test_vit") / "train.npy")
    Train().run(
        load_recipe(None, [*tiny_settings, "training.epochs=1", "backbones.include=[timm:test_vit]"]), trained
    )
    outcome = Fusion().run(recipe(), trained)
    assert outcome.done == ["fusion_concat_mlp"]
    assert not np.allclose(old, np.load(trained.fusion_embeddings("test_vit") / "train.npy"))
    assert "the embeddings are of other networks or images and are replaced" in caplog.text


def test_damaged_embeddings_are_extracted_again(trained: Store) -> None:
    Fusion().run(recipe(), trained)
    file = trained.fusion_embeddings("test_vit") / "train.npy"
    good = file.read_bytes()
    file.write_bytes(good[:-8] + b"nonsense")
    Fusion().run(recipe("runs.fusion.fusion_methods=[attention]"), trained)
    assert file.read_bytes() == good


def test_without_extract_embeddings_none_are_stored(trained: Store) -> None:
    assert Fusion().run(recipe("runs.fusion.extract_embeddings=false"), trained).done == ["fusion_concat_mlp"]
    assert not trained.fusion_embeddings("test_vit").exists()


def test_too_few_images_for_cca_are_named_and_other_heads_go_on(
    store: Store, tiny_settings: list[str]
) -> None:
    Train().run(load_recipe(None, [*tiny_settings, "training.epochs=1", "training.folds=2"]), store)
    methods = "runs.fusion.fusion_methods=[cca_aligned, concat_mlp]"
    outcome = Fusion().run(recipe(methods, "training.folds=2"), store)
    assert outcome.done == ["fusion_concat_mlp"] and outcome.exit_code == 3
    assert outcome.failed["fusion_cca_aligned"].startswith(
        "cca_aligned: expected more than 128 training rows"
    )


def test_one_backbone_only(trained: Store) -> None:
    with pytest.raises(
        UsageError, match=r"runs\.fusion: expected at least two members, got test_vit\. Train another"
    ):
        Fusion().run(recipe("backbones.include=[timm:test_vit]"), trained)


def test_without_a_section(trained: Store) -> None:
    with pytest.raises(UsageError, match=r"runs\.fusion: expected an enabled section, got none\."):
        Fusion().run(load_recipe(None, []), trained)


def test_a_plan_extracts_nothing(trained: Store) -> None:
    plan = Fusion().plan(recipe(ALL), trained).facts
    assert plan["members"][0] == {"name": "test_resnet", "fits": 4, "extracted": False}
    assert plan["fusions"] == ["fusion_concat_mlp", "fusion_attention", "fusion_bilinear"]
    assert not trained.fusion_embeddings("test_vit").exists()


def test_the_command_line(trained: Store, cli: Callable[..., object]) -> None:
    arguments = ("fusion-train", "--store", trained.root, "--set", SMALL, "--set", "device=cpu")
    result = cli(*arguments, "--dry-run")
    assert result.code == 0 and result.out.endswith(
        "Heads that would be trained on them: fusion_concat_mlp.\n"
    )
    result = cli(*arguments)
    assert result.code == 0
    assert "fusion_concat_mlp test_resnet, test_vit concat_mlp of 96 + 64 values" in " ".join(
        result.out.split()
    )


def test_its_files_take_part_in_discovery(trained: Store) -> None:
    Fusion().run(recipe(), trained)
    entry = next(each for each in discover(trained)["members"] if each["name"] == "fusion_concat_mlp")
    assert entry["backbone"] == "test_resnet + test_vit"
    assert entry["predictions"] == ["oof", "test_folds", "test_refit"]
