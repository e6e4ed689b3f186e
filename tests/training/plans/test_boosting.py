"""Boosted series: what the next stage is given, and when a series ends."""

import numpy as np
import pytest
import torch

from committee.errors import UsageError
from committee.training.fit.predict import logits_of
from committee.training.plans import boosting
from committee.training.plans.boosting import Boosting, stage_weight


def make(making, dataset, store, cpu, **options):
    spec = making.make_spec("training.epochs=4", "training.lr=0.03")
    return Boosting(spec, dataset, store, cpu, **{"stages": 3, **options})


def spied(plan, monkeypatch):
    """What each stage is given."""
    given, fit = [], plan.fit

    def spy(rows, fold, fingerprint, epochs=None, *, number=None, extra=None):
        given.append((rows, extra, number))
        return fit(rows, fold, fingerprint, epochs, number=number, extra=extra)

    monkeypatch.setattr(plan, "fit", spy)
    return given


@pytest.mark.parametrize("how", ["weights", "resample"])
def test_rows_that_were_wrong_weigh_more_in_the_next_stage(making, dataset, store, cpu, monkeypatch, how):
    plan = make(making, dataset, store, cpu, how=how)
    given = spied(plan, monkeypatch)
    rows = dataset.rows("train")
    member = plan.run(rows, "refit", fingerprint="x", epochs=2)[plan.name]
    first = logits_of(member.parts[0], dataset, rows, batch_size=32, device=cpu)
    wrong = first.argmax(1) != dataset.labels[rows]
    assert 0.02 < wrong.mean() < 0.9
    weight = stage_weight(wrong.mean(), 10)
    assert member.weights[0] == pytest.approx(weight)
    expected = np.exp(weight * wrong)
    expected /= expected.mean()
    if how == "weights":
        np.testing.assert_allclose(given[0][1].weights, 1)
        np.testing.assert_allclose(given[1][1].weights, expected, rtol=1e-4)
        assert np.array_equal(given[1][0], rows)
    else:
        times = np.bincount(np.searchsorted(rows, given[1][0]), minlength=len(rows))
        assert times.sum() == len(rows) and times[wrong].mean() > 1.5 * times[~wrong].mean()


def test_a_stage_of_gradient_boosting_learns_what_is_missing(making, dataset, store, cpu, monkeypatch):
    plan = make(making, dataset, store, cpu, method="gradient", shrinkage=0.5)
    given = spied(plan, monkeypatch)
    rows = dataset.rows("train")
    member = plan.run(rows, "refit", fingerprint="x", epochs=3)[plan.name]
    stages = [logits_of(part, dataset, rows, batch_size=32, device=cpu) for part in member.parts]
    assert given[0][1].offsets.max() == 0
    np.testing.assert_allclose(given[2][1].offsets, 0.5 * (stages[0] + stages[1]), rtol=1e-4, atol=1e-4)
    total = logits_of(member, dataset, rows, batch_size=32, device=cpu)
    np.testing.assert_allclose(total, 0.5 * sum(stages), rtol=1e-4, atol=1e-4)
    loss = [_log_loss(0.5 * sum(stages[:count]), dataset.labels[rows]) for count in (1, 2, 3)]
    assert loss[2] < loss[1] < loss[0]


def test_a_series_ends_where_a_stage_no_longer_helps(making, dataset, store, cpu, monkeypatch):
    plan = make(making, dataset, store, cpu, stages=6)
    scores = iter([0.5, 0.3, 0.4, 0.2])
    monkeypatch.setattr(boosting._Series, "_score", lambda self: next(scores))
    member = plan.run(dataset.rows("train"), "fold_0", fingerprint="x")[plan.name]
    assert len(member.parts) == 2
    assert member.provenance["epochs"] == 2 and member.provenance["trained"] == 3
    assert member.provenance["inner"] == [0.5, 0.3, 0.4]


def test_more_patience_goes_on(making, dataset, store, cpu, monkeypatch):
    plan = make(making, dataset, store, cpu, stages=4, patience=2)
    scores = iter([0.5, 0.3, 0.4, 0.2])
    monkeypatch.setattr(boosting._Series, "_score", lambda self: next(scores))
    assert len(plan.run(dataset.rows("train"), "fold_0", fingerprint="x")[plan.name].parts) == 4


def test_the_inner_slice_takes_no_part_in_training(making, dataset, store, cpu, monkeypatch):
    plan = make(making, dataset, store, cpu, stages=2)
    given = spied(plan, monkeypatch)
    plan.run(dataset.rows("train"), "fold_0", fingerprint="x")
    learned = given[0][0]
    assert len(learned) == pytest.approx(216, abs=10)
    assert all(np.array_equal(rows, learned) for rows, _, _ in given)


def test_a_first_stage_that_is_no_better_than_chance_is_all_there_is(
    making, dataset, store, cpu, monkeypatch
):
    plan = make(making, dataset, store, cpu)
    monkeypatch.setattr(boosting, "stage_weight", lambda error, classes: 0.0)
    member = plan.run(dataset.rows("train"), "refit", fingerprint="x", epochs=3)[plan.name]
    assert len(member.parts) == 1 and member.weights.tolist() == [1.0]


def test_a_refit_takes_the_folds_median_of_stages(making, dataset, store, cpu, monkeypatch):
    from committee.training.crossfit.crossfit import CrossFit

    plan = make(making, dataset, store, cpu)
    fits = CrossFit(plan, store)
    assert fits.needs("refit") == ("fold_0", "fold_1", "fold_2")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"stages": 1}, "tiny_nets_tiny: stages: expected at least 2, got 1"),
        (
            {"method": "adaboost"},
            "tiny_nets_tiny: method of boosting: expected one of samme, gradient, got 'adaboost'",
        ),
        ({"how": "draw"}, "tiny_nets_tiny: how of boosting: expected one of weights, resample"),
        ({"fraction": 0.0}, "tiny_nets_tiny: fraction: expected a number above 0, got 0.0"),
        ({"fraction": 1.0}, "tiny_nets_tiny: fraction: expected at least 0 and below 1, got 1.0"),
        ({"shrinkage": -1.0}, "tiny_nets_tiny: shrinkage: expected a number above 0"),
    ],
)
def test_options_that_cannot_be(making, dataset, store, cpu, options, said):
    with pytest.raises(UsageError, match=said):
        make(making, dataset, store, cpu, **options)


def _log_loss(logits, labels):
    return float(torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels)))
