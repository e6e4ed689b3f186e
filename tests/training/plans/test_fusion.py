"""Fusions as plans: frozen embeddings, then end to end; originals stay as they are."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from committee.errors import UsageError
from committee.images.view import CanvasSpec, frame
from committee.predictions.table import Predictions
from committee.recipe.runs import Fusion, Network
from committee.store.commit import commit
from committee.store.manifest import hash_file
from committee.training.fit.embeddings import extract
from committee.training.fit.predict import logits_of
from committee.training.plans.base import Inputs
from committee.training.plans.fusion import FusionPlan, _together

CONFIG = Network(hidden_dims=[16], epochs=3, lr=0.01, dropout=0.1)


@pytest.fixture
def dataset(dataset):
    """The data set with a canvas for each of the members' sizes."""
    own = CanvasSpec(10, "crop", 1)
    larger = frame(dataset.images(np.arange(360)), 12, "crop").permute(0, 2, 3, 1).numpy()
    return replace(dataset, canvases={**dataset.canvases, own._replace(size=12): larger})


@pytest.fixture
def members(add_single, dataset, store, cpu, tmp_path, once):
    """Cross-fit two members, and extract their embeddings."""
    for name, size in (("a", 8), ("b", 10)):
        add_single(name, "training.epochs=2", f"seed={size}", f"dataset.img_size={size}")

    def fill(folder):
        for name in ("a", "b"):
            networks = {fit: store.checkpoint(name, fit) for fit in store.folds(name)}
            with commit(folder / name, kind="embeddings", fingerprint=name) as new:
                extract(networks, dataset, new, batch_size=64, device=cpu, trusted=True)

    places = shutil.copytree(once("embeddings", fill), tmp_path / "embeddings")
    return {name: places / name for name in ("a", "b")}


def fusion(members, dataset, store, cpu, making, end_to_end=False):
    names = list(members)
    inputs = Inputs(
        names, {name: {} for name in names}, dict.fromkeys(names, "x"), dataset, store, cpu, trusted=True
    )
    section = Fusion(fusion_config=CONFIG, end_to_end=end_to_end)
    return FusionPlan("fused", "concat_mlp", inputs, section, members, making.make_spec().training)


def test_it_keeps_the_contract(members, dataset, store, cpu, making, contract):
    contract(fusion(members, dataset, store, cpu, making))


def test_each_fold_has_a_head_on_its_own_networks(members, dataset, store, cpu, making):
    plan = fusion(members, dataset, store, cpu, making)
    rows = dataset.rows("train")
    kept, held_out = rows[dataset.folds[rows] != 1], rows[dataset.folds[rows] == 1]
    made = plan.run(kept, "fold_1", fingerprint="x")["fused"]
    stored = plan.predict(made, held_out, "fold_1")
    run = logits_of(made, dataset, held_out, batch_size=32, device=cpu)
    np.testing.assert_allclose(stored, run, rtol=1e-3, atol=1e-4)
    refit = plan.run(rows, "refit", fingerprint="x")["fused"]
    assert not torch.equal(refit.parts[0].network.net[0].weight, made.parts[0].network.net[0].weight)


def test_its_backbones_are_on_disk_once(members, dataset, store, cpu, making, crossfitted):
    crossfitted(fusion(members, dataset, store, cpu, making), store)
    own = store.checkpoint("fused", "fold_1") / "parts" / "tiny_nets_tiny" / "weights.safetensors"
    size = own.stat().st_size
    assert own.exists() and (size < 2**16 or own.samefile(store.checkpoint("a", 1) / "weights.safetensors"))


def test_it_stands_in_the_table_as_any_member(members, dataset, store, cpu, making, crossfitted):
    crossfitted(fusion(members, dataset, store, cpu, making), store)
    oof = Predictions.load(store.kfold("fused") / "oof")
    assert len(oof) == 240 and not oof.seen.any()
    accuracy = (oof.logits[0].argmax(1) == oof.labels).mean()
    assert accuracy > 0.4
    assert len(Predictions.load(store.kfold("fused") / "test_refit")) == 80


def test_end_to_end_trains_copies(members, dataset, store, cpu, making):
    files = [
        path for name in members for path in store.checkpoint(name, "refit").rglob("*") if path.is_file()
    ]
    before = {path: hash_file(path) for path in files}
    plan = fusion(members, dataset, store, cpu, making, end_to_end=True)
    rows = dataset.rows("train")
    frozen = fusion(members, dataset, store, cpu, making).run(rows, "refit", fingerprint="x")["fused"]
    made = plan.run(rows, "refit", fingerprint="y")["fused"]
    assert {path: hash_file(path) for path in files} == before
    for one, other in zip(made.parts, frozen.parts, strict=True):
        moved = (one.network.net[0].weight - other.network.net[0].weight).abs().max()
        assert 0 < moved < 0.5
    stored = plan.predict(made, dataset.rows("val"), "refit")
    np.testing.assert_allclose(
        stored, logits_of(made, dataset, dataset.rows("val"), batch_size=32, device=cpu)
    )
    assert "then all end to end" in made.provenance["summary"]


def test_what_end_to_end_sees_is_what_the_members_see(members, dataset, store, cpu, making):
    made = fusion(members, dataset, store, cpu, making).run(dataset.rows("train"), "refit", fingerprint="x")[
        "fused"
    ]
    together = _together(made, 10).eval()
    images = dataset.images(dataset.rows("val"), together.view)
    with torch.inference_mode():
        largest = made.parts[1].embed(images)
        shown = together.view(images)
        body, mean, std = (
            together.network.net.bodies[1],
            together.network.net.mean_1,
            together.network.net.std_1,
        )
        torch.testing.assert_close(body.embed((shown - mean) / std), largest, rtol=1e-3, atol=1e-4)


def test_one_backbone_has_nothing_to_be_fused_with(members, dataset, store, cpu, making):
    said = "fused: expected at least two members, got a. Train another backbone: a single network"
    with pytest.raises(UsageError, match=said):
        fusion({"a": members["a"]}, dataset, store, cpu, making)
