"""Estimates of the cost of a recipe; nothing is written."""

from __future__ import annotations

import pytest

from committee.errors import DataError, StoreError, UsageError
from committee.pipeline.shared.estimate import estimate
from committee.pipeline.shared.step_time import StepTimer
from committee.recipe.load import load_recipe
from committee.store.layout import Store


def test_fits_hours_and_disk_of_an_empty_store(store: Store, tiny_settings: list[str]) -> None:
    found = estimate(load_recipe(None, tiny_settings), store)
    assert (found["device"], found["rows"], found["classes"], found["fits"]) == ("cpu", 240, 10, 8)
    assert [(cost["member"], cost["fits"], cost["stored"]) for cost in found["members"]] == [
        ("test_resnet", 4, 0),
        ("test_vit", 4, 0),
    ]
    assert 0 < found["hours"] < 1
    assert found["disk_mb"] > 4 * 1.0
    assert not store.root.exists()


def test_stored_fits_cost_nothing(trained: Store, tiny_settings: list[str]) -> None:
    recipe = load_recipe(None, [*tiny_settings, "backbones.include=[timm:test_vit, timm:test_convnext]"])
    vit, convnext = estimate(recipe, trained)["members"]
    assert (vit["stored"], vit["hours"], vit["disk_mb"]) == (4, 0, 0)
    assert (convnext["stored"], convnext["hours"] > 0) == (0, True)


def test_a_backbone_is_timed_once_and_only_if_a_fit_is_missing(
    trained: Store, tiny_settings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    timed = []

    def measure(
        self: StepTimer, network: object, shape: object, batch_size: int, check: object
    ) -> tuple[float, str]:
        timed.append(batch_size)
        return 1.0, "2 images"

    monkeypatch.setattr(StepTimer, "measure", measure)
    vits = "{name: timm:test_vit, as: a, seeds: [1, 2]}, {name: timm:test_vit, as: b, batch_size: 8}"
    models = f"models=[timm:test_resnet, {vits}]"
    snapshots = "runs.snapshot_ensemble={n_snapshots: 2}"
    found = estimate(load_recipe(None, [*tiny_settings, "backbones.include=[]", models, snapshots]), trained)[
        "members"
    ]
    assert {cost["member"]: cost["source"] for cost in found if not cost["source"]} == {"test_resnet": ""}
    assert timed == [32, 8, 32]


def test_a_backbone_that_cannot_be_built_has_a_reason(store: Store, tiny_settings: list[str]) -> None:
    recipe = load_recipe(None, [*tiny_settings, "backbones.include=[timm:inception_v4]"])
    [cost] = estimate(recipe, store)["members"]
    assert cost["hours"] is None and cost["reason"]


def test_an_unsupported_image_size_is_reported(store: Store, tiny_settings: list[str]) -> None:
    settings = [*tiny_settings, "dataset.img_size=24", "backbones.include=[timm:test_vit]"]
    [cost] = estimate(load_recipe(None, settings), store)["members"]
    assert cost["reason"] == (
        "timm:test_vit: expected a network that accepts images of 24 pixels, got Input height (24) should be "
        "divisible by patch size (16). Use another dataset.img_size."
    )


def test_without_folds_there_is_one_fit_and_a_val_split(store: Store, tiny_settings: list[str]) -> None:
    found = estimate(load_recipe(None, [*tiny_settings, "training.folds=0"]), store)
    assert found["fits"] == 2
    assert found["hours"] == pytest.approx(sum(cost["hours"] for cost in found["members"]))


def test_only_fits_with_the_same_settings_count_as_stored(trained: Store, tiny_settings: list[str]) -> None:
    same = [*tiny_settings, "backbones.include=[timm:test_vit]"]
    for other, fits, stored in (
        (["training.lr=0.01"], 4, 0),
        (["training.epochs=1"], 4, 0),
        (["dataset.fit=pad"], 4, 0),
        (["training.inference=folds"], 3, 3),
        (["training.folds=0"], 1, 0),
    ):
        [cost] = estimate(load_recipe(None, [*same, *other]), trained)["members"]
        assert (cost["fits"], cost["stored"]) == (fits, stored), other


def test_it_raises_the_errors_of_training(trained: Store, store: Store, tiny_settings: list[str]) -> None:
    with pytest.raises(StoreError, match=r"training\.folds: expected 3, the number of folds in this store"):
        estimate(load_recipe(None, [*tiny_settings, "training.folds=2"]), trained)
    with pytest.raises(DataError, match="900"):
        estimate(load_recipe(None, [*tiny_settings, "training.folds=900"]), store)
    with pytest.raises(UsageError) as caught:
        estimate(load_recipe(None, [*tiny_settings, "training.pretrained=gone.pt"]), store)
    assert str(caught.value) == (
        "gone.pt: the file does not exist. "
        "Set training.pretrained to true, false or the path of a weights file."
    )


def test_fits_at_once_share_the_hours(
    store: Store, tiny_settings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    set_to: list[int] = []
    monkeypatch.setattr("torch.get_num_threads", lambda: 4)
    monkeypatch.setattr("torch.set_num_threads", set_to.append)
    settings = [*tiny_settings, "backbones.include=[timm:test_vit]", "training.folds=2"]
    for workers, expected, threads in (("auto", 3, 1), ("2", 2, 2), ("1", 1, 4)):
        found = estimate(load_recipe(None, [*settings, f"workers={workers}"]), store)
        assert found["workers"] == expected and set_to[-2:] == [threads, 4]
        assert found["hours"] == pytest.approx(sum(cost["hours"] for cost in found["members"]) / expected)


def test_published_weights_are_fetched_by_an_estimate(
    store: Store, tiny_settings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(*given: object, **named: object) -> None:
        assert named.get("pretrained", given[-1]) is True
        raise StoreError("timm:test_vit", expected="published weights", got="no connection")

    monkeypatch.setattr("committee.backbones.sources.timm.TimmSource.make", make)
    settings = [*tiny_settings, "training.pretrained=true", "backbones.include=[timm:test_vit]"]
    (cost,) = estimate(load_recipe(None, settings), store)["members"]
    assert cost["hours"] is None
    assert cost["reason"] == "timm:test_vit: expected published weights, got no connection."
