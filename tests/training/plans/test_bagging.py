"""Bags: worked examples of the literature, and the networks that did not draw a row."""

import numpy as np
import pytest
import torch
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from committee.combiners.hard_voting import HardVoting
from committee.training.crossfit.crossfit import CrossFit
from committee.training.fit.predict import logits_of
from committee.training.plans.bagging import Bagging, bootstrap, mean_of_others


def test_stumps_of_bootstrap_samples_that_vote_1_0_1_say_1():
    points, labels = np.arange(8.0).reshape(-1, 1), np.array([0, 0, 0, 1, 0, 1, 1, 1])
    samples = ([0, 1, 2, 3, 5, 6, 7, 7], [0, 1, 2, 4, 4, 4, 6, 7], [1, 1, 3, 3, 5, 6, 6, 7])
    stumps = [DecisionTreeClassifier(max_depth=1).fit(points[rows], labels[rows]) for rows in samples]
    votes = [int(stump.predict([[4.0]])[0]) for stump in stumps]
    assert votes == [1, 0, 1]
    logits = torch.nn.functional.one_hot(torch.tensor(votes), 2).float().log().clamp(min=-20)
    answer = HardVoting().bind(["a", "b", "c"]).combine(logits[:, None].numpy())
    assert answer.argmax(1).tolist() == [1]


def test_bagged_regression_stumps_11_11_10_say_10_67_where_the_single_one_says_11():
    points, values = np.array([[1.0], [2.0], [3.0], [4.0]]), np.array([4.0, 6.0, 10.0, 12.0])
    samples = ([0, 1, 2, 3], [0, 0, 2, 3], [1, 1, 2, 2])
    say = [
        float(DecisionTreeRegressor(max_depth=1).fit(points[s], values[s]).predict([[4.0]])[0])
        for s in samples
    ]
    assert say == [11, 11, 10]
    single = DecisionTreeRegressor(max_depth=1).fit(points, values).predict([[4.0]])
    assert single == [11]
    mean, seen = mean_of_others([np.array([each]) for each in say], np.zeros((3, 1), bool))
    assert mean[0] == pytest.approx(10.67, abs=0.005) and not seen.any()


def test_about_a_third_of_the_rows_are_out_of_a_bag():
    rows = np.arange(20_000)
    out = [1 - len(np.unique(bootstrap(rows, None, seed))) / len(rows) for seed in range(5)]
    np.testing.assert_allclose(out, np.exp(-1), atol=0.01)


def test_a_bag_of_groups_has_all_of_a_group_or_nothing():
    groups = np.repeat(np.arange(50), 4)
    bag = bootstrap(np.arange(200), groups, 0)
    times = np.bincount(bag, minlength=200).reshape(50, 4)
    assert (times == times[:, :1]).all() and (times == 0).any() and (times > 1).any()


def test_only_networks_that_did_not_draw_a_row_say_what_it_is():
    drew = np.array([[True, False, True], [True, False, False]])
    answers = [np.array([[1.0], [2.0], [3.0]]), np.array([[5.0], [6.0], [7.0]])]
    mean, seen = mean_of_others(answers, drew)
    assert mean[:, 0].tolist() == [3.0, 4.0, 7.0]
    assert seen.tolist() == [True, False, False]


@pytest.fixture
def bag(making, dataset, store, cpu):
    return Bagging(making.make_spec("training.epochs=3"), dataset, store, cpu, networks=4)


def test_out_of_bag_predictions_are_those_of_single_networks(bag, dataset, store, caplog):
    caplog.set_level("INFO")
    rows = dataset.rows("train")
    member = bag.run(rows, "refit", fingerprint="x")[bag.name]
    logits, seen = bag.out_of_bag(member, rows)
    drew = np.stack([np.isin(rows, each) for each in bag.bags(rows, "refit")])
    assert np.array_equal(seen, drew.all(0)) and 0.05 < seen.mean() < 0.35  # 0.632^4 is 0.16
    assert f"{seen.sum()} of {len(rows)} rows were drawn by all networks and count as seen" in caplog.text
    each = np.stack(
        [
            torch.from_numpy(logits_of(net, dataset, rows, batch_size=32, device=bag.device))
            .softmax(1)
            .numpy()
            for net in member.members
        ]
    )
    row = int(np.flatnonzero((~drew).sum(0) == 2)[0])
    np.testing.assert_allclose(np.exp(logits[row]), each[~drew[:, row], row].mean(0), rtol=1e-4, atol=1e-6)
    row = int(np.flatnonzero(seen)[0])
    np.testing.assert_allclose(np.exp(logits[row]), each[:, row].mean(0), rtol=1e-4, atol=1e-6)


def test_a_bag_has_no_folds_and_out_of_fold_rows_all_the_same(bag, dataset, store):
    from committee.predictions.table import Predictions

    fits = CrossFit(bag, store)
    assert fits.names == ("refit",)
    with store.hold():
        fits.make("refit")
        fits.finish()
    oof = Predictions.load(store.kfold(bag.name) / "oof")
    assert len(oof) == 240 and 0.05 < oof.seen.mean() < 0.35
    assert np.array_equal(oof.folds, dataset.folds[dataset.rows("train")])
    assert not Predictions.load(store.kfold(bag.name) / "test_refit").seen.any()
    assert sorted(path.name for path in store.checkpoint(bag.name, "refit").glob("*epochs.csv")) == [
        f"network_{number}_epochs.csv" for number in range(4)
    ]


def test_a_bag_that_misses_a_class_is_named(making, store, cpu, tmp_path, caplog):
    labels = making.make_dataset(tmp_path / "plain").labels.copy()
    train = np.flatnonzero(labels[:240] == 9)
    labels[train[1:]] = 8  # one nine is left
    dataset = making.make_dataset(tmp_path / "rare", labels=labels)
    plan = Bagging(making.make_spec("training.epochs=1"), dataset, store, cpu, networks=6)
    plan.run(dataset.rows("train"), "refit", fingerprint="x")
    said = [record.message for record in caplog.records if "has no image" in record.message]
    assert said and all(text.endswith("has no image of 9") for text in said)


def test_early_stopping_keeps_copies_of_a_row_together(making, dataset, store, cpu):
    from committee.training.fit.early_stopping import split_rows
    from committee.training.fit.job import Job

    rows = bootstrap(dataset.rows("train"), None, 0)
    spec = making.make_spec("training.early_stop={patience: 2}")
    job = Job(spec, dataset, rows, "refit", cpu, store.root, "x", None, 32)
    kept, judged = split_rows(job)
    kept = rows[kept]
    assert len(judged) and not np.intersect1d(kept, judged).size
    assert np.array_equal(np.sort(np.concatenate([kept, judged])), rows)


def test_one_network_is_no_bag(making, dataset, store, cpu):
    from committee.errors import UsageError

    with pytest.raises(UsageError, match="tiny_nets_tiny: networks in a bag: expected at least 2, got 1"):
        Bagging(making.make_spec(), dataset, store, cpu, networks=1)
