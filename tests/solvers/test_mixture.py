"""The search among mixtures returns exact counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax

from committee.predictions.table import Predictions
from committee.solvers import candidates
from committee.solvers.columns import columns
from committee.solvers.mixture import COUNT_METRICS, Mixture
from committee.solvers.pools import TIE


@given(
    st.integers(0, 100_000),
    st.sampled_from(sorted(COUNT_METRICS)),
    st.sampled_from(["probability", "logit"]),
    st.integers(2, 12),
    st.floats(0.1, 8),
)
def test_moves_against_a_dense_computation(seed, metric, space, classes, scale):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, 40)
    logits = (random.normal(size=(3, 40, classes)) * scale).astype(np.float32)
    predictions = Predictions.from_logits(
        logits, members=list("abc"), class_names=[str(c) for c in range(classes)], labels=labels
    )
    values = log_softmax(logits.astype(np.float64), axis=2)
    values = values if space == "logit" else np.exp(values)
    mixture = Mixture(columns(predictions), labels, metric, space)
    weight = np.zeros(3)

    def expected(weight):
        total = np.tensordot(weight, values, 1)
        # Of tied classes, the first is predicted.
        slack = TIE * (total.max(axis=1, keepdims=True) if space == "probability" else weight.sum())
        guess = (total >= total.max(axis=1, keepdims=True) - slack).argmax(axis=1)
        counts = (np.bincount(each, minlength=classes) for each in (labels[guess == labels], guess, labels))
        return COUNT_METRICS[metric](*counts)

    for _ in range(6):
        moves = random.uniform(-np.minimum(0.3, weight), 1, (5, 3))
        candidates = weight + np.vstack([moves, np.eye(3)])
        assert mixture.scores(candidates) == pytest.approx([expected(w) for w in candidates], abs=1e-12)
        weight = candidates[random.integers(len(candidates))]
        mixture.move(weight)


@pytest.mark.parametrize("most", [0, 400, 2000])
@pytest.mark.parametrize("space", ["probability", "logit"])
@pytest.mark.parametrize("metric", ["accuracy", "f1_macro"])
def test_scores_do_not_depend_on_the_memory_for_candidates(most, space, metric, monkeypatch):
    random = np.random.default_rng(0)
    # Whole numbers, so that classes are tied in some rows.
    logits = random.integers(0, 4, (4, 60, 30)).astype(np.float32)
    labels = random.integers(0, 30, 60)
    predictions = Predictions.from_logits(
        logits, members=list("abcd"), class_names=[str(c) for c in range(30)], labels=labels
    )
    known, looks = columns(predictions), []
    all_of_them = Mixture(known, labels, metric, space)
    some = Mixture(known, labels, metric, space)
    weight = np.zeros(4)
    for step in range(30):
        tried = weight + np.vstack([np.eye(4), random.uniform(0, 0.5, 4) - weight * (step % 3 == 2)])
        monkeypatch.setattr(candidates, "MOST_VALUES", 10**9)
        expected = all_of_them.scores(tried)
        monkeypatch.setattr(candidates, "MOST_VALUES", most)
        assert some.scores(tried).tolist() == expected.tolist()
        looks.append(some._near and some._near.values.size)
        weight = tried[random.integers(4)]
        all_of_them.move(weight)
        some.move(weight)
    assert (set(looks) == {None}) == (most == 0)
