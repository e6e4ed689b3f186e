"""Soups as plans: which networks go in, what is reported, and rows that count as seen."""

import functools
import pickle

import numpy as np
import pytest
import torch

from committee.errors import TrainingError, UsageError
from committee.predictions.table import Predictions
from committee.recipe.runs import ModelSoup
from committee.training.fit import symmetries
from committee.training.fit.weight_averager import WeightAverager
from committee.training.plans.base import Inputs
from committee.training.plans.soup import SoupPlan


@pytest.fixture
def trained(add_single):
    """Return a function that cross-fits `a` and `b` from the same initial weights, and `far` from others."""

    def add(name, start, seed):
        return add_single(name, "training.epochs=8", f"training.start_seed={start}", f"seed={seed}")

    def make(far=False):
        plans = [add("a", 5, 1), add("b", 5, 2), *([add("far", 77, 3)] if far else [])]
        return dict(plans[0].facts())

    return make


def soup(names, dataset, store, cpu, facts, method="uniform", **changes):
    inputs = Inputs(
        names, dict.fromkeys(names, facts), dict.fromkeys(names, "x"), dataset, store, cpu, trusted=True
    )
    return SoupPlan("soup", method, inputs, ModelSoup(**{"num_batches": 4, "barrier": 0.3} | changes))


def test_it_keeps_the_contract(trained, dataset, store, cpu, contract):
    contract(soup(["a", "b"], dataset, store, cpu, trained()))


def test_a_soup_of_members_is_made_fold_by_fold(trained, dataset, store, cpu, crossfitted):
    facts = trained()
    fits = crossfitted(soup(["a", "b"], dataset, store, cpu, facts), store)
    assert fits.names == ("fold_0", "fold_1", "fold_2", "refit")
    oof = Predictions.load(store.kfold("soup") / "oof")
    assert len(oof) == 240 and not oof.seen.any()
    assert not Predictions.load(store.kfold("soup") / "val_refit").seen.any()


def test_one_that_chooses_on_val_rows_has_seen_them(trained, dataset, store, cpu, crossfitted):
    crossfitted(soup(["a", "b"], dataset, store, cpu, trained(), "greedy"), store)
    assert Predictions.load(store.kfold("soup") / "val_refit").seen.all()
    assert not Predictions.load(store.kfold("soup") / "oof").seen.any()


def test_the_soup_of_a_members_folds_has_no_rows_that_it_did_not_see(
    trained, dataset, store, cpu, crossfitted
):
    fits = crossfitted(soup(["a"], dataset, store, cpu, trained()), store)
    assert fits.names == ("refit",)
    assert sorted(path.name for path in store.kfold("soup").iterdir()) == ["test_refit", "val_refit"]


def test_the_report_has_both_kinds_of_statistics(trained, dataset, store, cpu):
    made = soup(["a", "b"], dataset, store, cpu, trained()).run(
        dataset.rows("train"), "refit", fingerprint="x"
    )
    report = made["soup"].provenance["soup"]
    assert report["weights"] == {"a": 0.5, "b": 0.5} and report["left_out"] == {}
    assert report["log_loss"] == report["recomputed_bn"] != report["averaged_bn"]
    assert len(report["barriers"]) == 1 and report["rows"] == "train"
    assert "batch norm: " in made["soup"].provenance["summary"]


def test_without_recompute_both_are_measured_too(trained, dataset, store, cpu):
    plan = soup(["a", "b"], dataset, store, cpu, trained(), recompute_bn=False)
    report = plan.run(dataset.rows("train"), "refit", fingerprint="x")["soup"].provenance["soup"]
    assert report["log_loss"] == report["averaged_bn"] != report["recomputed_bn"]


def test_a_stranger_is_left_out_and_named_with_its_barrier(trained, dataset, store, cpu, caplog):
    plan = soup(["a", "b", "far"], dataset, store, cpu, trained(far=True), barrier=0.1)
    report = plan.run(dataset.rows("train"), "refit", fingerprint="x")["soup"].provenance["soup"]
    assert set(report["weights"]) == {"a", "b"}
    assert "their initial weights differ" in report["left_out"]["far"], report
    assert "soup/refit: far is left out: the loss barrier to " in caplog.text


def test_strangers_alone_are_refused_with_the_barrier(trained, dataset, store, cpu):
    plan = soup(["a", "far"], dataset, store, cpu, trained(far=True), barrier=0.01)
    said = (
        r"soup/refit: expected two networks without a loss barrier above 0\.01, got (a|far): the loss "
        r"barrier to (a|far) is \d\.\d{3}, \d\.\d{3} before its channels were permuted; their initial "
        r"weights differ\. Train them from the same initial weights \(training\.start_seed, or pretrained "
        r"weights\), or combine their predictions instead\."
    )
    with pytest.raises(TrainingError, match=said):
        plan.run(dataset.rows("train"), "refit", fingerprint="x")


def test_a_stranger_that_alignment_brings_close_is_averaged(trained, dataset, store, cpu, caplog):
    caplog.set_level("INFO", "committee")
    plan = soup(["a", "far"], dataset, store, cpu, trained(far=True))
    report = plan.run(dataset.rows("train"), "refit", fingerprint="x")["soup"].provenance["soup"]
    assert set(report["weights"]) == {"a", "far"}
    (before,), (after,) = report["aligned"].values(), report["barriers"].values()
    assert after < 0.3 < before
    assert f"the loss barrier is {after:.3f} instead of {before:.3f}" in caplog.text


def test_networks_that_cannot_be_aligned_are_named_with_the_reason(trained, dataset, store, cpu, monkeypatch):
    monkeypatch.setattr(symmetries._Finder, "found", lambda self: symmetries.Symmetries())
    plan = soup(["a", "far"], dataset, store, cpu, trained(far=True))
    said = (
        r"; their initial weights differ; its channels cannot be permuted: soup \(Sequential\): expected "
        r"channels that can be permuted, got none\. Train them"
    )
    with pytest.raises(TrainingError, match=said):
        plan.run(dataset.rows("train"), "refit", fingerprint="x")


def without_val(making, dataset, tmp_path):
    splits = np.where(dataset.splits == "val", "test", dataset.splits)
    return making.make_dataset(tmp_path / "bare", splits=splits)


@pytest.mark.parametrize("method", ["greedy", "learned"])
def test_without_val_rows_a_fold_is_chosen_on_rows_of_the_others(
    trained, making, dataset, store, cpu, tmp_path, method, monkeypatch
):
    bare, facts, judged = without_val(making, dataset, tmp_path), trained(), []
    plan = soup(["a", "b"], bare, store, cpu, facts, method)
    plan.check()
    real = WeightAverager.judging
    monkeypatch.setattr(
        WeightAverager, "judging", lambda self, rows: judged.append((self, rows)) or real(self, rows)
    )
    report = plan.run(bare.rows("train")[bare.folds[:240] != 1], "fold_1", fingerprint="x")
    found = report["soup"].provenance
    assert found["soup"]["chosen_on"] == "out-of-fold" and "chosen on out-of-fold rows" in found["summary"]
    for averager, rows in judged:
        assert not np.isin(rows, averager.context.rows).any(), "the networks of the part have seen none"
    assert {int(fold) for _, rows in judged for fold in bare.folds[rows]} == {0, 2}, "fold_1 is scored on 1"


def test_choosing_needs_rows_that_no_network_has_seen(trained, making, store, cpu, tmp_path, dataset):
    facts = trained()
    plan = soup(["a"], without_val(making, dataset, tmp_path), store, cpu, facts, "greedy")
    said = (
        "soup: expected rows that none of the networks was trained on, by which the soup chooses them, got "
        "neither a val split nor folds of members. Set dataset.val_size=0.1 and train in another store, or "
        "use the uniform soup."
    )
    with pytest.raises(UsageError, match=said):
        plan.check()


def test_a_soup_is_a_network_of_its_own(trained, dataset, store, cpu):
    made = soup(["a", "b"], dataset, store, cpu, trained()).run(
        dataset.rows("train"), "refit", fingerprint="x"
    )
    with torch.inference_mode():
        assert made["soup"](dataset.images(np.arange(3))).shape == (3, 10)
    assert made["soup"].provenance["epochs"] == 8


def test_a_plan_with_networks_in_memory_is_sent_to_other_processes_without_them():
    plan = SoupPlan.__new__(SoupPlan)
    load = functools.lru_cache(2)(str)
    vars(plan).update(members=("a", "b"), _load=load, _prepared={"fold_0": load})
    assert vars(pickle.loads(pickle.dumps(plan))) == {"members": ("a", "b"), "_prepared": {}}
