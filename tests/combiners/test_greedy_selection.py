"""Greedy selection against a direct implementation of the paper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import f1_score

from committee.combiners.greedy_selection import GreedySelection
from committee.errors import UsageError


def score(metric, probs, labels):
    if metric == "log_loss":
        return float(np.log(probs[np.arange(len(labels)), labels]).mean())
    guess = probs.argmax(axis=1)
    if metric == "accuracy":
        return float((guess == labels).mean())
    return f1_score(labels, guess, average="macro")


def caruana(predictions, metric, rounds):
    """Add the best member of each round, with ties in the order of names; keep the best round."""
    order = np.argsort(predictions.members)
    probs = softmax(predictions.logits.astype(np.float64), axis=2)
    total, picks, best, kept = np.zeros(probs.shape[1:]), [], -np.inf, 0
    for size in range(1, rounds + 1):
        values = [score(metric, (total + probs[m]) / size, predictions.labels) for m in order]
        pick = int(np.argmax(np.round(values, 9)))
        total += probs[order[pick]]
        picks.append(order[pick])
        if values[pick] > best + 1e-9:
            best, kept = values[pick], size
    return np.bincount(picks[:kept], minlength=len(order)) / kept, best


@pytest.mark.parametrize("metric", ["log_loss", "accuracy", "f1_macro"])
@pytest.mark.parametrize("rows", [40, 150, 900])
def test_agrees_with_the_paper(metric, rows, digits):
    part = digits.rows(np.arange(rows))
    weights, best = caruana(part, metric, 25)
    fitted = GreedySelection(metric=metric, rounds=25, patience=25).fit(part)
    np.testing.assert_allclose(list(fitted.member_weights().values()), weights, atol=1e-6)
    found = fitted.notes()["selections"][0][metric]
    assert found == pytest.approx(-best if metric == "log_loss" else best, abs=1e-5)


def test_stops_early(digits):
    patient, hasty = (
        GreedySelection(metric="accuracy", rounds=60, patience=p).fit(digits).notes() for p in (60, 1)
    )
    assert hasty["selections"][0]["rounds"] <= patient["selections"][0]["rounds"] <= 60
    assert hasty["selections"][0]["accuracy"] <= patient["selections"][0]["accuracy"]


def test_bags_hear_some_members_and_are_averaged(digits):
    fitted = GreedySelection(bags=6, bag_fraction=0.5, seed=3).fit(digits)
    assert len(fitted.notes()["selections"]) == 6
    assert sum(fitted.member_weights().values()) == pytest.approx(1)
    other = GreedySelection(bags=6, bag_fraction=0.5, seed=4).fit(digits)
    assert other.member_weights() != fitted.member_weights()


def test_a_tie_goes_to_the_first_name(digits):
    twins = replace(
        digits, logits=np.repeat(digits.logits[2:3], 3, axis=0), members=("b", "c", "a"), seen=digits.seen[:3]
    )
    for metric in ("log_loss", "accuracy"):
        assert GreedySelection(metric=metric).fit(twins).member_weights() == {"b": 0, "c": 0, "a": 1}


def test_unknown_metric(digits):
    with pytest.raises(UsageError) as error:
        GreedySelection(metric="acuracy").fit(digits)
    assert str(error.value) == (
        "greedy_selection.metric: expected one of log_loss, brier, accuracy, balanced_accuracy, f1_macro, "
        "auroc, or python:module.function, got 'acuracy'. "
        "Did you mean 'accuracy'?"
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"rounds": 0}, "greedy_selection.rounds: expected at least 1, got 0."),
        ({"bags": -1}, "greedy_selection.bags: expected at least 1, got -1."),
        (
            {"bag_fraction": 2},
            "greedy_selection.bag_fraction: expected a number above 0 and at most 1, got 2.",
        ),
    ],
)
def test_bad_counts(options, sentence, digits):
    with pytest.raises(UsageError) as error:
        GreedySelection(**options).fit(digits)
    assert str(error.value) == sentence
