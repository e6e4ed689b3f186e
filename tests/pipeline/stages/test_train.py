"""Training of all members of a recipe: failures are reported, and finished fits are kept."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import torch

from committee.errors import DeviceError, RecipeError, UnknownNameError
from committee.images.dataset import Dataset
from committee.pipeline.shared.records import failures
from committee.pipeline.shared.to_train import open_for
from committee.pipeline.stages.train import Train
from committee.recipe.load import load_recipe
from committee.store.layout import Store


def state(root: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in root.rglob("manifest.json")}


def test_finished_fits_are_not_repeated(trained: Store, tiny_settings: list[str]) -> None:
    before = state(trained.root)
    outcome = Train().run(load_recipe(None, tiny_settings), trained)
    assert outcome.done == ["test_resnet", "test_vit"] and outcome.exit_code == 0
    assert state(trained.root) == before


def test_one_failing_backbone_does_not_stop_the_others(
    trained: Store, tiny_settings: list[str], own_nets: str
) -> None:
    include = f"backbones.include=[{own_nets}:short, timm:test_vit]"
    outcome = Train().run(load_recipe(None, [*tiny_settings, include]), trained)
    assert outcome.done == ["test_vit"] and outcome.exit_code == 3
    why = (
        "own_nets_short: expected logits of shape [32, 10], got [32, 9]. "
        "Check the backbone: its last layer must have one output per class."
    )
    assert outcome.failed == {"own_nets_short": why}
    assert failures(trained) == [{"name": "own_nets_short", "reason": why}]


def test_a_success_clears_the_failure(trained: Store, tiny_settings: list[str]) -> None:
    path = trained.root / "checkpoints" / "test_vit" / "failure.json"
    path.write_text('{"name": "test_vit", "reason": "out of memory"}', encoding="utf-8")
    Train().run(load_recipe(None, tiny_settings), trained)
    assert failures(trained) == []


def test_nothing_to_train(store: Store) -> None:
    with pytest.raises(RecipeError) as caught:
        Train().run(load_recipe(None, ["dataset.name=digits"]), store)
    assert str(caught.value) == (
        "backbones.include: expected at least one backbone, got none. "
        "Name one: --set backbones.include=[timm:resnet18]"
    )
    assert not store.root.exists()


def test_an_unknown_backbone_stops_before_anything_runs(store: Store, tiny_settings: list[str]) -> None:
    recipe = load_recipe(None, [*tiny_settings, "backbones.include=[timm:test_resnet, timm:test_vitt]"])
    with pytest.raises(UnknownNameError) as caught:
        Train().run(recipe, store)
    assert str(caught.value) == (
        "backbone timm:test_vitt: expected a name of timm, got 'test_vitt'. Did you mean 'test_vit'?"
    )
    assert not store.root.exists()


def test_an_absent_device_stops_before_anything_runs(
    store: Store, tiny_settings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("committee.base.devices.available", lambda: ("cpu",))
    with pytest.raises(DeviceError) as caught:
        Train().run(load_recipe(None, [*tiny_settings, "device=cuda"]), store)
    assert str(caught.value) == (
        "device: expected an available device (cpu), got 'cuda'. Use the fastest one with --set device=auto."
    )
    assert not store.root.exists()


def test_sections_of_other_stages_are_ignored(trained: Store, tiny_settings: list[str]) -> None:
    outcome = Train().run(load_recipe(None, [*tiny_settings, "distillation.enable=true"]), trained)
    assert outcome.exit_code == 0


def test_memory_is_released_after_each_member(
    store: Store, tiny_settings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, alive = open_for, []

    def count(*_: object) -> None:
        gc.collect()
        # By its type: `isinstance` would wake deprecated objects that warn.
        alive.append(sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects()))

    def open_and_count(*arguments: object) -> Dataset:
        dataset = opened(*arguments)
        count()
        return dataset

    monkeypatch.setattr("committee.pipeline.stages.train.open_for", open_and_count)
    monkeypatch.setattr("committee.pipeline.shared.fits.record_failure", count)
    explodes = ["overrides.test_vit.lr=1e30", "overrides.test_vit.clip_grad=null"]
    quick = ["training.epochs=1", "training.folds=2", "backbones.include=[timm:test_vit]"]
    twice = "models=[{name: timm:test_resnet, seeds: [1, 2]}]"
    outcome = Train().run(load_recipe(None, [*tiny_settings, *quick, *explodes, twice]), store)
    assert len(outcome.done) == 2 and list(outcome.failed) == ["test_vit"]
    assert len(alive) == 4 and max(alive) == alive[0]
