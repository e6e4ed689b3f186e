"""Weights: given, optimal with a certificate, or found by a search that is never worse than its starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax
from sklearn.metrics import f1_score
from torch.nn.functional import cross_entropy

from committee.combiners.base import build, load, save
from committee.combiners.weighted import Weighted
from committee.errors import UsageError
from committee.predictions.table import Predictions


def loss(predictions, weight, space="probability"):
    logs = log_softmax(predictions.logits.astype(np.float64), axis=2)
    if space == "logit":
        pooled = log_softmax(np.tensordot(weight, logs, 1), axis=1)
    else:
        pooled = np.log(np.tensordot(weight, np.exp(logs), 1))
    return -pooled[np.arange(len(predictions)), predictions.labels].mean()


def simulated(seed, members=4, rows=60, classes=3):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows)
    logits = random.normal(size=(members, rows, classes)) * 2 + np.eye(classes)[labels] * 1.5
    return Predictions.from_logits(
        logits,
        members=[f"m{m}" for m in range(members)],
        class_names=list("abcdefgh"[:classes]),
        labels=labels,
    )


@pytest.mark.parametrize("space", ["probability", "logit"])
def test_certificate(digits, space):
    fitted = Weighted(space=space).fit(digits)
    certificate = fitted.notes()["certificate"]
    assert fitted.notes()["search"] == "convex" and 0 <= certificate <= 1e-6
    best = loss(digits, list(fitted.member_weights().values()), space)
    draws = np.random.default_rng(0).dirichlet(np.ones(4) * 0.5, 200)
    assert min(loss(digits, draw, space) for draw in draws) >= best - certificate - 1e-6


def test_agrees_with_expectation_maximization(digits):
    probs = np.exp(log_softmax(digits.logits.astype(np.float64), axis=2))[:, np.arange(900), digits.labels]
    weight = np.full(4, 0.25)
    for _ in range(5000):
        weight = weight * (probs / (weight @ probs)).mean(axis=1)
    found = list(Weighted().fit(digits).member_weights().values())
    np.testing.assert_allclose(found, weight, atol=2e-3)
    assert loss(digits, found) <= loss(digits, weight) + 1e-6


@given(st.integers(0, 10_000), st.sampled_from(["probability", "logit"]), st.integers(1, 6))
def test_never_worse_than_equal_weights_or_any_member(seed, space, members):
    predictions = simulated(seed, members)
    found = list(Weighted(space=space).fit(predictions).member_weights().values())
    others = [np.full(members, 1 / members), *np.eye(members)]
    assert loss(predictions, found, space) <= min(loss(predictions, w, space) for w in others) + 2e-6


def value(metric, predictions, combiner):
    guess = combiner.combine(predictions.logits).argmax(axis=1)
    if metric == "accuracy":
        return float((guess == predictions.labels).mean())
    return f1_score(predictions.labels, guess, average="macro")


@given(
    st.integers(0, 10_000),
    st.sampled_from(["accuracy", "f1_macro"]),
    st.sampled_from(["probability", "logit"]),
    st.integers(1, 5),
)
def test_a_local_search_is_never_below_what_is_simpler(seed, metric, space, members):
    predictions = simulated(seed, members)
    fitted = Weighted(metric=metric, space=space).fit(predictions)
    assert fitted.notes()["search"] == "local"
    starts = [Weighted(space=space), *(Weighted(weights=w.tolist(), space=space) for w in np.eye(members))]
    starts.append(Weighted(weights=[1.0] * members, space=space))
    simpler = [value(metric, predictions, start.fit(predictions)) for start in starts]
    assert value(metric, predictions, fitted) >= max(simpler) - 1e-12


def test_identical_members_tie_by_name(digits):
    twins = replace(
        digits, logits=np.repeat(digits.logits[2:3], 3, axis=0), members=("b", "c", "a"), seen=digits.seen[:3]
    )
    for metric in ("accuracy", "f1_macro"):
        turned = twins.select(("a", "b", "c"))
        one, other = (Weighted(metric=metric).fit(part).member_weights() for part in (twins, turned))
        assert one == other


def test_given_weights(digits):
    by_name = Weighted(weights={"near": 3, "linear": 1}).fit(digits)
    assert by_name.member_weights() == {"tree": 0, "bayes": 0, "near": 0.75, "linear": 0.25}
    in_order = Weighted(weights=[0, 0, 3, 1]).bind(digits.members)
    np.testing.assert_array_equal(by_name.combine(digits.logits), in_order.combine(digits.logits))
    assert not by_name.learns and Weighted().learns


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"weights": {"nera": 1.0}},
            "weighted.weights: expected members among tree, bayes, near, linear, got 'nera'. "
            "Did you mean 'near'?",
        ),
        ({"weights": [1, 2]}, "weighted.weights: expected 4 weights, one for each member, got 2."),
        (
            {"weights": [1, 2, -1, 0]},
            "weighted.weights: expected finite, non-negative weights that are not all zero, "
            "got [1.0, 2.0, -1.0, 0.0].",
        ),
        (
            {"metric": "f1_makro"},
            "weighted.metric: expected one of log_loss, brier, accuracy, balanced_accuracy, f1_macro, "
            "auroc, or python:module.function, got 'f1_makro'. "
            "Did you mean 'f1_macro'?",
        ),
        (
            {"space": "logits"},
            "weighted.space: expected one of probability, logit, got 'logits'. Did you mean 'logit'?",
        ),
    ],
)
def test_bad_options(options, sentence, digits):
    with pytest.raises(UsageError) as error:
        build({"combiner": "weighted", **options}).fit(digits)
    assert str(error.value) == sentence


def test_labels_with_probability_zero():
    logits = np.array([[[0.0, -500.0]] * 4, [[-400.0, 0.0]] * 4], np.float32)
    predictions = Predictions.from_logits(
        logits, members=["a", "b"], class_names=["x", "y"], labels=np.array([0, 0, 1, 1])
    )
    assert Weighted().fit(predictions).member_weights() == {
        "a": pytest.approx(0.5, abs=1e-3),
        "b": pytest.approx(0.5, abs=1e-3),
    }


def test_trained_weights_are_those_of_a_softmax(digits: Predictions, tmp_path: Path) -> None:
    """An optimizer trains the weights; at equal weights the rule is the fitted one, stored ones included."""
    fitted = Weighted(space="logit").fit(digits)
    logits = torch.from_numpy(digits.logits)
    expected = fitted(logits)
    same = Weighted(fitted.member_weights(), space="logit").bind(digits.members)
    same.trainable()
    torch.testing.assert_close(same(logits), expected, atol=1e-5, rtol=1e-5)
    rule = Weighted(space="logit").bind(digits.members)
    score, labels = rule.trainable(), torch.from_numpy(digits.require_labels("test"))
    optimizer = torch.optim.LBFGS([score], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = cross_entropy(rule(logits), labels)
        value.backward()
        return value

    assert rule.member_weights() == pytest.approx(dict.fromkeys(digits.members, 0.25))
    optimizer.step(loss)
    assert loss().item() == pytest.approx(cross_entropy(expected, labels).item(), abs=1e-4)
    save(rule, tmp_path)
    assert load(tmp_path).member_weights() == pytest.approx(rule.member_weights())
    assert rule.fit(digits).member_weights() == fitted.member_weights()
    with pytest.raises(UsageError) as error:
        Weighted().trainable()
    assert str(error.value) == (
        "weighted: expected a combiner of members, got an unbound one. Call bind(names) first."
    )


@pytest.mark.parametrize("space", ["probability", "logit"])
@pytest.mark.parametrize("scale", [87.0, 3e3, 1e30])
def test_members_that_are_certain_and_wrong_give_finite_weights_without_warnings(space, scale):
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 200)
    wrong = random.random((3, 200)) < [[0.1], [0.3], [0.6]]
    answers = np.where(wrong, (labels + 1) % 3, labels)
    rows = Predictions.from_logits(
        np.eye(3)[answers] * scale, members=list("abc"), class_names=list("xyz"), labels=labels
    )
    found = build({"combiner": "weighted", "space": space}).fit(rows)
    weights = found.member_weights()
    assert sum(weights.values()) == pytest.approx(1) and weights["a"] >= weights["c"] >= 0
