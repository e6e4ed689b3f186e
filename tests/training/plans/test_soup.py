"""Soups as plans: which networks go in, what is reported, and rows that count as seen."""

import numpy as np
import pytest
import torch

from committee.errors import TrainingError, UsageError
from committee.predictions.table import Predictions
from committee.recipe.runs import ModelSoup
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
    return SoupPlan("soup", method, inputs, ModelSoup(num_batches=4, barrier=0.3, **changes))


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
    plan = soup(["a", "b", "far"], dataset, store, cpu, trained(far=True))
    report = plan.run(dataset.rows("train"), "refit", fingerprint="x")["soup"].provenance["soup"]
    assert set(report["weights"]) == {"a", "b"}
    assert "their initial weights differ" in report["left_out"]["far"]
    assert "soup/refit: far is left out: the loss barrier to " in caplog.text


def test_strangers_alone_are_refused_with_the_barrier(trained, dataset, store, cpu):
    plan = soup(["a", "far"], dataset, store, cpu, trained(far=True))
    said = (
        r"soup/refit: expected two networks without a loss barrier above 0\.3, got (a|far): the loss "
        r"barrier to (a|far) is \d\.\d{3}; their initial weights differ\. Train them from the same initial "
        r"weights \(training\.start_seed, or pretrained weights\), or combine their predictions instead\."
    )
    with pytest.raises(TrainingError, match=said):
        plan.run(dataset.rows("train"), "refit", fingerprint="x")


def test_choosing_wants_rows_kept_apart(trained, making, store, cpu, tmp_path, dataset):
    facts = trained()
    splits = np.where(dataset.splits == "val", "test", dataset.splits)
    bare = making.make_dataset(tmp_path / "bare", splits=splits)
    plan = soup(["a", "b"], bare, store, cpu, facts, "greedy")
    said = (
        "soup: expected a validation split, on which the soup chooses networks, got none. Set "
        "dataset.val_size=0.1 and train in another store, or use the uniform soup."
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
