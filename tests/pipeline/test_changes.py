"""Recipes that change after an interrupt: affected fits are repeated or refused, the others are kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from committee.errors import StoreError
from committee.images.dataset import preview_dataset
from committee.pipeline.shared.to_train import open_for
from committee.pipeline.stages.train import Train
from committee.recipe.load import load_recipe
from committee.store.commit import commit
from committee.store.layout import Store
from committee.training.fit import loop

A, B, C = "own_nets_small", "own_nets_broad", "third"
REST = {f"{B}/fold_1": 1, f"{B}/refit": 2}
ALL_OF_B = {f"{B}/{fold}": 2 for fold in ("fold_0", "fold_1", "refit")}
ALL = {f"{A}/{fold}": 2 for fold in ("fold_0", "fold_1", "refit")} | ALL_OF_B
BROAD = """
def broad(classes, channels):
    return nn.Sequential(nn.AdaptiveAvgPool2d(9), nn.Flatten(), nn.Linear(81 * channels, classes))
"""
Run = Callable[..., dict[str, int]]


@pytest.fixture
def settings(own_nets: str, tiny_settings: list[str], tmp_path: Path) -> list[str]:
    """A recipe of two small networks, two folds and two epochs each."""
    module = tmp_path / "own_nets.py"
    module.write_text(module.read_text("utf-8") + BROAD, "utf-8")
    both = f"backbones.include=['{own_nets}:small', '{own_nets}:broad']"
    return [*tiny_settings, both, "training.folds=2", "training.warmup_epochs=0"]


@pytest.fixture
def run(store: Store, settings: list[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Train with changed settings; return how many epochs each fit was trained for.

    With `stop`, a run is stopped after so many epochs of all its fits.
    """

    def go(*changes: str, stop: int = 0) -> dict[str, int]:
        epochs, keep = Counter[str](), loop.resume.keep

        def count(folder: Path, *arguments: object, **more: object) -> None:
            keep(folder, *arguments, **more)
            epochs[f"{folder.parent.name}/{folder.name.removesuffix('.resume')}"] += 1
            if epochs.total() == stop:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(loop.resume, "keep", count)
            try:
                outcome = Train().run(load_recipe(None, [*settings, *changes]), store)
                assert not outcome.failed
            except KeyboardInterrupt:
                assert stop
        return dict(epochs)

    return go


@pytest.fixture
def stopped(run: Run, store: Store) -> Store:
    """A store whose run was stopped in the middle of the second fold of the second network."""
    run(stop=9)
    assert (store.folds(A), store.folds(B)) == (("fold_0", "fold_1", "refit"), ("fold_0",))
    return store


@pytest.mark.parametrize(
    ("change", "made"),
    [
        ("seed=0", REST),
        ("workers=1", REST),
        ("project.name=other", REST),
        ("training.inference=folds", {f"{B}/fold_1": 1}),
        (f"overrides.{B}.lr=0.01", ALL_OF_B),
        (f"overrides.{B}.epochs=1", dict.fromkeys(ALL_OF_B, 1)),
        ("training.epochs=3", dict.fromkeys(ALL, 3)),
        ("training.lr=0.01", ALL),
        ("training.label_smoothing=0.1", ALL),
        ("training.augment.flip=false", ALL),
        ("dataset.batch_size=16", ALL),
        ("dataset.img_size=16", ALL),
        ("seed=1", ALL),
        ("training.folds=0", {f"{A}/refit": 2, f"{B}/refit": 2}),
        ("backbones.include=['python:own_nets:small']", {}),
        (
            "models=[{name: 'python:own_nets:small', as: third}, 'python:own_nets:broad']",
            {
                **REST,
                f"{C}/fold_0": 2,
                f"{C}/fold_1": 2,
                f"{C}/refit": 2,
            },
        ),
    ],
)
def test_fits_that_a_change_affects_are_repeated(
    change: str, made: dict[str, int], run: Run, stopped: Store
) -> None:
    assert run(change) == made
    assert run(change) == {}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            "training.folds=3",
            "training.folds: expected 2, the number of folds in this store, got 3. "
            "Use another --store for other folds.",
        ),
        (
            "dataset.test_size=0.3",
            "dataset.test_size: expected 0.2, as in the first run with this store, "
            "got 0.3. Use another --store for another split.",
        ),
    ],
)
def test_changes_that_a_store_does_not_allow_are_refused(
    change: str, sentence: str, run: Run, stopped: Store
) -> None:
    with pytest.raises(StoreError) as caught:
        run(change)
    assert str(caught.value) == sentence
    assert run() == REST


def test_a_store_without_results_is_set_up_again(store: Store, tiny_settings: list[str]) -> None:
    """Its splits and folds are fixed by the first result, and not by a first run that trained nothing."""

    def opened(*changes: str, look: bool = False) -> Counter[int]:
        recipe = load_recipe(None, [*tiny_settings, *changes])
        if look:
            found = preview_dataset(recipe.dataset, store, folds=recipe.training.folds, seed=recipe.seed)
        else:
            with store.hold():
                found = open_for(recipe, recipe.members(), store)
        return Counter(found.folds.tolist())

    first = opened()
    assert len(first) == 4
    other = ("training.folds=2", "dataset.test_size=0.3")
    assert len(opened(*other, look=True)) == 3
    changed = opened(*other)
    assert len(changed) == 3 and changed[-1] > first[-1]
    with commit(store.kfold("imported") / "oof", kind="predictions", fingerprint="1"):
        pass
    for look in (False, True):
        with pytest.raises(StoreError, match="expected 2, the number of folds in this store, got 3"):
            opened("dataset.test_size=0.3", look=look)
