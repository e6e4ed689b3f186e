"""Choice of the augmentation by short fits on training rows."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from committee.errors import TrainingError
from committee.pipeline.shared.estimate import estimate
from committee.pipeline.stages.train import Train
from committee.recipe.load import load_recipe
from committee.store.layout import Store
from committee.training.crossfit import augmentation
from committee.training.crossfit.augmentation import AugmentationTrial
from committee.training.plans._example import example_dataset

ROWS = 120


@pytest.fixture
def dataset():
    rows = np.arange(ROWS)
    splits = np.where(rows < 90, "train", np.where(rows < 105, "val", "test"))
    folds = np.where(rows < 90, rows // 30, -1)
    return replace(
        example_dataset(), labels=rows % 2, sample_ids=rows.astype(str), splits=splits, folds=folds
    )


class Fits:
    """Stands for training: each preset has a given margin between the logits."""

    def __init__(self, monkeypatch, **margins):
        self.margins, self.trained, self.judged = margins, [], []
        monkeypatch.setattr(augmentation, "train", self.train)
        monkeypatch.setattr(augmentation, "logits_of", self.logits_of)

    def train(self, spec, dataset, rows, **given):
        preset = spec.training.augment.preset
        self.trained.append((preset, spec.training.epochs, rows))
        if self.margins[preset] is None:
            raise TrainingError("net", expected="a finite loss", got="nan")
        return SimpleNamespace(member=preset)

    def logits_of(self, member, dataset, rows, **given):
        self.judged.append(rows)
        noise = np.random.default_rng(len(rows)).normal(0, 0.3, len(rows))
        right = np.eye(2)[dataset.labels[rows]]
        return (right * (np.asarray(self.margins[member]) + noise)[:, None]).astype(np.float32)


def trial(dataset, store, *settings):
    models = "models=[{name: timm:test_resnet, seeds: [1, 2]}]"
    recipe = load_recipe(None, ["training.augment={preset: auto, flip: false}", models, *settings])
    return AugmentationTrial(recipe.members()[0], dataset, store, torch.device("cpu"))


@pytest.mark.parametrize(
    ("margins", "best"),
    [
        ({"none": 1.0, "mild": 1.5, "strong": 2.0}, "strong"),
        ({"none": 2.0, "mild": 1.5, "strong": 1.0}, "none"),
        ({"none": 1.0, "mild": 1.5, "strong": 1.5}, "mild"),
        ({"none": None, "mild": None, "strong": 1.0}, "strong"),
        ({"none": None, "mild": None, "strong": None}, "mild"),
    ],
)
def test_the_lowest_loss_is_chosen_once_on_training_rows_of_one_fold(
    margins, best, dataset, store, monkeypatch
):
    fits = Fits(monkeypatch, **margins)
    chosen = trial(dataset, store).choose()
    assert chosen.preset == best and chosen.amounts().flip is False
    assert [(name, epochs) for name, epochs, _ in fits.trained] == [
        (n, 5) for n in ("none", "mild", "strong")
    ]
    for _, _, rows in fits.trained:
        assert set(dataset.splits[rows]) == {"train"} and set(dataset.folds[rows]) == {1, 2}
        assert len(rows) == 48
    for rows in fits.judged:
        assert len(rows) == 12 and set(dataset.folds[rows]) == {1, 2}
        assert not set(rows) & set(fits.trained[0][2])
    again = trial(dataset, store)
    assert again.known() == again.choose() == chosen and len(fits.trained) == 3


def test_a_difference_within_its_standard_error_is_no_reason_to_change(dataset, store, monkeypatch):
    uneven = 1.5 + np.resize([2.0, -1.9], 12)
    Fits(monkeypatch, none=1.0, mild=1.5, strong=uneven)
    assert trial(dataset, store).choose().preset == "mild"


def test_an_estimate_counts_the_fits_of_a_trial(dataset, store):
    assert trial(dataset, store).passes == pytest.approx(3 * 5 * 0.8 * 2 / 3)


def test_members_share_the_choice_unless_their_settings_differ(dataset, store):
    first = trial(dataset, store)
    models = "models=[{name: timm:test_resnet, as: other, plan: bagging, seeds: [7]}]"
    assert trial(dataset, store, models).fingerprint == first.fingerprint
    for other in ("training.lr=0.1", "epochs=3", "dataset.img_size=64", "training.augment={preset: auto}"):
        assert trial(dataset, store, other).fingerprint != first.fingerprint
    moved = replace(dataset, folds=np.where(dataset.folds >= 0, 2 - dataset.folds, -1))
    assert trial(moved, store).fingerprint != first.fingerprint


def test_a_run_chooses_trains_and_says_so(store: Store, tiny_settings, caplog):
    caplog.set_level(logging.INFO)
    settings = [*tiny_settings, "backbones.include=[timm:test_vit]", "training.folds=2", "epochs=1"]
    recipe = load_recipe(None, [*settings, "training.augment={preset: auto, flip: false}"])
    (before,) = estimate(recipe, store)["members"]
    assert before["stored"] == 0 and before["hours"] > 0 and not store.root.exists()
    assert Train().run(recipe, store).done == ["test_vit"]
    (said,) = [line for line in caplog.messages if "augmentation" in line]
    assert said.startswith("timm:test_vit: augmentation ") and "rows after 1 epochs (none " in said
    preset = said.split()[2].rstrip(",")
    stored = json.loads((store.checkpoint("test_vit", "fold_0") / "member.json").read_text("utf-8"))
    assert stored["provenance"]["augment"]["preset"] == preset
    assert not list(store.root.glob("cache/*.resume"))
    (after,) = estimate(recipe, store)["members"]
    assert (after["fits"], after["stored"], after["hours"]) == (3, 3, 0)
    # The result is that of the preset, whoever chose it.
    named = load_recipe(None, [*settings, f"training.augment={{preset: {preset}, flip: false}}"])
    assert estimate(named, store)["members"][0]["stored"] == 3
