"""Members and ensembles that are loaded from a store."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from committee.errors import StoreError, UnknownNameError, UsageError
from committee.images.dataset import open_dataset
from committee.models.ensemble import Ensemble
from committee.models.member import Member
from committee.pipeline.shared.models import load_model
from committee.predictions.table import Predictions
from committee.store.layout import Store
from committee.store.manifest import Manifest, list_files, read_manifest


def images(store: Store, rows: int) -> torch.Tensor:
    dataset = open_dataset(None, store, img_sizes=[32], folds=3, seed=0)
    return dataset.images(dataset.rows("test")[:rows])


@pytest.mark.parametrize(("inference", "kind"), [("refit", Member), ("folds", Ensemble)])
def test_a_member_agrees_with_its_stored_predictions(trained: Store, inference: str, kind: type) -> None:
    module, facts = load_model(trained, "test_vit", inference=inference)
    assert isinstance(module, kind) and not module.training
    assert (facts["name"], facts["kind"], facts["inference"]) == ("test_vit", "member", inference)
    assert facts["class_names"] == [str(digit) for digit in range(10)]
    stored = Predictions.load(trained.kfold("test_vit") / f"test_{inference}").logits[0, :5]
    with torch.inference_mode():
        found = module(images(trained, 5)).softmax(1).numpy()
    np.testing.assert_allclose(found, torch.from_numpy(np.array(stored)).softmax(1), atol=1e-6)


def test_the_default_networks_are_those_of_the_training(trained: Store) -> None:
    assert load_model(trained, "test_resnet")[1]["inference"] == "refit"


def test_unknown_names_and_networks(trained: Store) -> None:
    with pytest.raises(UnknownNameError) as caught:
        load_model(trained, "test_resnot")
    assert str(caught.value) == (
        f"{trained.root}: expected one of test_resnet, test_vit, got 'test_resnot'. "
        "Did you mean 'test_resnet'?"
    )
    with pytest.raises(UsageError) as wrong:
        load_model(trained, "test_vit", inference="all")
    assert str(wrong.value) == "inference: expected one of refit, folds, got 'all'."


def test_missing_networks(trained: Store) -> None:
    for fold in range(3):
        trained.checkpoint("test_vit", fold).joinpath("manifest.json").unlink()
    with pytest.raises(StoreError) as caught:
        load_model(trained, "test_vit", inference="folds")
    assert str(caught.value) == "test_vit: expected fold networks, got refit. Run: committee train"


def test_a_flipped_bit_is_found(trained: Store) -> None:
    path = trained.checkpoint("test_vit", "refit") / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(StoreError, match="expected the content that was stored, got other bytes"):
        load_model(trained, "test_vit")


def test_a_builder_runs_only_where_the_recipe_names_it(trained: Store) -> None:
    folder = trained.checkpoint("test_vit", "refit")
    description = json.loads((folder / "member.json").read_text(encoding="utf-8"))
    description["architecture"] |= {"name": "python:nets:small", "source": "python", "key": "evil:run"}
    (folder / "member.json").write_text(json.dumps(description), encoding="utf-8")
    before = read_manifest(folder, verify=False)
    sealed = Manifest(before.kind, before.fingerprint, list_files(folder), before.facts)
    (folder / "manifest.json").write_text(json.dumps(sealed.to_json()), encoding="utf-8")
    with pytest.raises(UsageError, match="expected a builder that the recipe names"):
        load_model(trained, "test_vit", trusted=("python:nets:small",))
