import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from committee.errors import TrainingError
from committee.models.member import Member
from committee.predictions.table import Predictions
from committee.store.manifest import read_manifest
from committee.tasks import Classification, Regression
from committee.training.crossfit import crossfit as module
from committee.training.crossfit.crossfit import CrossFit
from committee.training.fit.early_stopping import judging_rows
from committee.training.fit.predict import logits_of
from committee.training.plans.base import PLANS
from committee.training.plans.shared import of_backbone
from committee.training.plans.single import Single


@pytest.fixture
def run(making, dataset, store, cpu):
    def go(*overrides, data=None, net="tiny"):
        spec = making.make_spec(*overrides, net=net)
        fits = CrossFit(Single(spec, data or dataset, store, cpu), store)
        for each in fits.names:
            fits.make(each)
        fits.finish()
        return spec.name

    return go


@pytest.fixture
def fits(monkeypatch):
    """The folds that are trained, in order."""
    trained, real = [], of_backbone.train_job

    def counted(job):
        trained.append(job.fold)
        return real(job)

    monkeypatch.setattr(of_backbone, "train_job", counted)
    return trained


def contents(root):
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.suffix in (".safetensors", ".npy", ".json") and path.name != "manifest.json"
    }


def test_out_of_fold_predictions_are_of_networks_that_did_not_train_on_the_row(run, dataset, store, cpu):
    name = run()
    oof = Predictions.load(store.kfold(name) / "oof")
    train = dataset.rows("train")
    assert list(oof.sample_ids) == list(dataset.sample_ids[train])
    assert (oof.folds == dataset.folds[train]).all() and (oof.labels == dataset.labels[train]).all()
    assert oof.members == (name,) and not oof.seen.any()
    for k in range(3):
        member = Member.load(store.checkpoint(name, k), trusted=True)
        expected = logits_of(member, dataset, train[dataset.folds[train] == k], batch_size=32, device=cpu)
        np.testing.assert_array_equal(oof.logits[0][oof.folds == k], expected)
        assert read_manifest(store.checkpoint(name, k)).facts["rows"] == 160
    assert store.folds(name) == ("fold_0", "fold_1", "fold_2", "refit")


def test_splits_kept_apart_are_predicted_by_the_refit_and_by_the_folds(run, dataset, store, cpu):
    name = run()
    for split, count in (("test", 80), ("val", 40)):
        refit = Predictions.load(store.kfold(name) / f"{split}_refit")
        folds = Predictions.load(store.kfold(name) / f"{split}_folds")
        assert refit.logits.shape == folds.logits.shape == (1, count, 10)
        assert not refit.seen.any() and refit.folds is None
        parts = [np.load(store.checkpoint(name, k) / f"{split}.npy") for k in range(3)]
        exp = [np.exp(part - part.max(1, keepdims=True)) for part in parts]
        mean = np.mean([part / part.sum(1, keepdims=True) for part in exp], axis=0)
        np.testing.assert_allclose(np.exp(folds.logits[0]), mean, atol=1e-6)
        np.testing.assert_array_equal(
            refit.logits[0], np.load(store.checkpoint(name, "refit") / f"{split}.npy")
        )


def test_nothing_is_made_twice(run, fits, store, monkeypatch):
    name = run("training.epochs=1")
    assert fits == ["fold_0", "fold_1", "fold_2", "refit"]
    before = contents(store.root)
    monkeypatch.setattr(of_backbone, "smoke", None)
    run("training.epochs=1")
    assert len(fits) == 4 and contents(store.root) == before
    shutil.rmtree(store.kfold(name))
    run("training.epochs=1")
    assert len(fits) == 4 and contents(store.root) == before


def test_what_a_change_touches_is_made_again(run, fits, store, making, tmp_path, caplog):
    once = ("training.epochs=1",)
    name = run(*once)
    fits.clear()
    (store.checkpoint(name, 1) / "weights.safetensors").write_bytes(b"damaged")
    run(*once)
    assert fits == ["fold_1"]
    fits.clear()
    oof = (store.kfold(name) / "oof" / "logits.npy").read_bytes()
    run(*once, "training.lr=0.02")
    assert fits == ["fold_0", "fold_1", "fold_2", "refit"]
    assert (store.kfold(name) / "oof" / "logits.npy").read_bytes() != oof
    fits.clear()
    run(*once, "training.lr=0.02", data=making.make_dataset(tmp_path / "other", fingerprint="g"))
    assert fits == ["fold_0", "fold_1", "fold_2", "refit"]
    assert (
        f"{store.checkpoint(name, 0)} was made with other settings or data and is made again"
        in caplog.messages
    )


def test_another_voice_only_adds_what_is_missing(run, fits, store):
    name = run("training.inference=folds")
    assert fits == ["fold_0", "fold_1", "fold_2"]
    assert not (store.kfold(name) / "test_refit").exists()
    run()
    assert fits == ["fold_0", "fold_1", "fold_2", "refit"]
    assert (store.kfold(name) / "test_refit").exists()


def test_no_folds_are_one_fit_on_all_rows(run, fits, store):
    name = run("training.folds=0")
    assert fits == ["refit"]
    assert sorted(path.name for path in store.kfold(name).iterdir()) == ["test_refit", "val_refit"]
    assert read_manifest(store.checkpoint(name, "refit")).facts["rows"] == 240


def test_what_other_settings_left_is_removed(run, store, caplog):
    name = run()
    run("training.folds=0", "training.epochs=2")
    assert store.folds(name) == ("refit",)
    assert sorted(path.name for path in store.kfold(name).iterdir()) == ["test_refit", "val_refit"]
    assert (
        f"{store.kfold(name) / 'oof'} was made with other settings or data and is removed" in caplog.messages
    )


def test_the_refit_takes_the_folds_median_epochs(run, store, monkeypatch):
    asked = {}
    real = of_backbone.train_job

    def spy(job):
        asked[job.fold] = job.epochs
        trained = real(job)
        trained.member.provenance["epochs"] = {"fold_0": 2, "fold_1": 9, "fold_2": 3}.get(job.fold, 0)
        return trained

    monkeypatch.setattr(of_backbone, "train_job", spy)
    run("training.early_stop={patience: 1}")
    assert asked == {"fold_0": None, "fold_1": None, "fold_2": None, "refit": 3}


@pytest.mark.parametrize("plan", ["single", "bagging", "boosting"])
def test_without_folds_half_of_the_val_split_judges_epochs_and_counts_as_seen(
    making, dataset, store, cpu, plan, monkeypatch
):
    given, real = {}, of_backbone.train_job

    def spy(job):
        given[job.spec.name] = job.rows
        return real(job)

    monkeypatch.setattr(of_backbone, "train_job", spy)
    monkeypatch.setattr(type(dataset), "images", watched := Watched(type(dataset).images))
    rule = "training.early_stop=null" if plan == "boosting" else "training.early_stop={patience: 2}"
    made = PLANS.make(
        plan, spec=making.make_spec("training.folds=0", rule), dataset=dataset, store=store, device=cpu
    )
    fits = CrossFit(made, store)
    fits.make("refit")
    judging = judging_rows(dataset)
    train, val = dataset.rows("train"), dataset.rows("val")
    assert set(judging) < set(val) and len(judging) == pytest.approx(len(val) / 2, abs=5)
    assert all(np.isin(rows, train).all() for rows in given.values())
    if plan == "single":
        assert np.array_equal(given[made.name], train)  # no row is set aside
    assert set(judging) <= watched.rows
    fits.finish()
    stored = Predictions.load(store.kfold(made.name) / "val_refit")
    assert set(stored.sample_ids[stored.seen[0]]) == set(dataset.sample_ids[judging])
    assert not Predictions.load(store.kfold(made.name) / "test_refit").seen.any()


class Watched:
    """A replacement of `Dataset.images` that records the rows that are read."""

    def __init__(self, real):
        self.real, self.rows = real, set()

    def __get__(self, dataset, owner=None):
        def images(rows, *keys):
            self.rows |= set(rows)
            return self.real(dataset, rows, *keys)

        return images


@pytest.mark.parametrize("setting", ["training.folds=0", "training.early_stop={patience: 2}"])
def test_otherwise_no_val_row_is_seen(run, store, setting):
    name = run(setting)
    assert not Predictions.load(store.kfold(name) / "val_refit").seen.any()


def test_a_checkpoint_says_what_made_it(run, store):
    name = run("training.folds=0")
    folder = store.checkpoint(name, "refit")
    facts = read_manifest(folder).facts
    wanted = {
        "plan": "single",
        "backbone": "python:tiny_nets:tiny",
        "seed": 0,
        "pretrained": False,
        "inference": "refit",
        "fold": "refit",
        "epochs": 3,
        "device": "cpu",
        "threads": 1,
    }
    assert wanted.items() <= dict(facts).items()
    assert (folder / "epochs.csv").read_text(encoding="utf-8").startswith("epoch,phase,lr,train_loss,")
    assert not store.resume(name, "refit").exists()


def test_a_backbone_that_cannot_learn_stores_nothing(run, store):
    with pytest.raises(TrainingError, match="expected a finite loss on the first batch"):
        run(net="exploding")
    assert store.members() == ()


def test_groups_and_unlabeled_columns_go_along(making, run, store, tmp_path):
    groups = np.arange(360) // 2
    name = run("training.folds=0", data=making.make_dataset(tmp_path / "grouped", 0, groups=groups))
    stored = Predictions.load(store.kfold(name) / "test_refit")
    assert (np.diff(stored.groups) >= 0).all() and len(np.unique(stored.groups)) == 40


JOB = """
import sys, torch
torch.set_num_threads(1)
from pathlib import Path
from making import make_dataset, make_spec
from committee.store.layout import Store
from committee.training.crossfit.crossfit import CrossFit
from committee.training.plans.base import PLANS
from committee.training.plans.single import Single
root = Path(sys.argv[1])
store = Store(root / "store")
with store.hold():
    spec = make_spec(*sys.argv[2:], net="patient")
    fits = CrossFit(Single(spec, make_dataset(root / "data"), store, torch.device("cpu")), store)
    for name in fits.names:
        fits.make(name)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_cross_fit_goes_on_to_the_same_bytes(run, store, tmp_path):
    settings = ["training.epochs=5", "training.ema=0.9"]
    name = run(*settings, net="patient")
    undisturbed = contents(store.root)
    shutil.rmtree(store.root)
    command = [sys.executable, "-c", JOB, str(tmp_path), *settings]
    # The first fold has 25 batches; the process waits in the second epoch of the second fold.
    with subprocess.Popen(command, env={**os.environ, "HOLD_AT": "34"}) as process:
        while not store.resume(name, 1).exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert not store.checkpoint(name, 1).exists()
    with store.hold():
        run(*settings, net="patient")
    assert contents(store.root) == undisturbed


@pytest.mark.parametrize("task", [Classification(), Regression()])
def test_the_mean_of_one_network_is_its_output(task):
    outputs = np.ones((2, 3), np.float32)
    assert module.pooled(task, [outputs]) is outputs
    shifted = module.pooled(task, [outputs, outputs + 1])
    expected = np.log(1 / 3) if task.logits else 1.5  # logits are defined up to a constant
    assert shifted == pytest.approx(np.full((2, 3), expected))


def test_a_network_that_predicts_no_numbers_is_a_failed_fit(run, store, monkeypatch):
    monkeypatch.setattr(Single, "predict", lambda self, member, rows, fold: np.full((len(rows), 3), np.nan))
    with pytest.raises(TrainingError) as caught:
        run()
    assert str(caught.value) == (
        "tiny_nets_tiny/fold_0: expected finite predictions, got NaN or infinity. "
        "Lower training.lr, or set training.clip_grad=1.0."
    )
    assert not store.checkpoint("tiny_nets_tiny", 0).exists()
