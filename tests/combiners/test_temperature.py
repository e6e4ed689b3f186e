"""Temperatures: the optimum in 1/T, on rows that the inner rule was not fitted on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from committee.combiners.base import Combiner
from committee.combiners.compose import Compose
from committee.combiners.member_temperature import MemberTemperature
from committee.combiners.soft_voting import SoftVoting
from committee.combiners.temperature import Temperature
from committee.combiners.weighted import Weighted
from committee.errors import LeakError
from committee.solvers.newton import best_temperature


class Memorizer(Combiner):
    """Predicts the labels for rows of the fit, and soft voting for others."""

    def _fit(self, predictions):
        self.set_buffers(rows=predictions.logits[0].copy(), labels=predictions.labels)

    def forward(self, logits):
        known = (logits[0][:, None] == self.learned("rows")[None]).all(dim=2)
        label = torch.nn.functional.one_hot(self.learned("labels")[known.int().argmax(dim=1)], 10) * 20.0
        pooled = logits.log_softmax(dim=2).logsumexp(dim=0)
        return torch.where(known.any(dim=1)[:, None], label, pooled).log_softmax(dim=1)


@pytest.fixture(scope="module")
def unique(digits):
    """Rows with distinct logits of the first member, so that a rule can memorize them."""
    logits = digits.logits + np.random.default_rng(0).normal(size=digits.logits.shape).astype(np.float32) / 50
    return type(digits).from_logits(
        logits, members=digits.members, class_names=digits.class_names, labels=digits.labels
    )


def loss(inverse, logits, labels):
    return -log_softmax(logits * inverse, axis=1)[np.arange(len(labels)), labels].mean()


@given(st.integers(0, 10_000), st.floats(0.3, 4), st.integers(2, 8))
def test_agrees_with_scipy(seed, scale, classes):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, 200)
    logits = (random.normal(size=(200, classes)) + np.eye(classes)[labels] * 1.2).astype(np.float32) * scale
    found = 1 / best_temperature(logits, labels)
    best = minimize_scalar(
        loss,
        args=(logits.astype(np.float64), labels),
        bounds=(0.05, 20),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert found == pytest.approx(best.x, rel=1e-4, abs=1e-4)


def test_bounds_when_there_is_no_optimum():
    logits, labels = np.array([[2.0, 0], [0, 2.0]], np.float32), np.array([0, 1])
    assert best_temperature(logits, labels) == pytest.approx(0.05, rel=1e-3)
    assert best_temperature(logits, 1 - labels) == pytest.approx(20, rel=1e-3)


def test_pooled_temperature_is_the_optimum_of_the_pool(digits):
    fitted = Temperature().fit(digits)
    pooled = SoftVoting().combine(digits.logits)
    expected = best_temperature(pooled, digits.labels)
    assert fitted.notes() == {"temperature": expected}
    np.testing.assert_allclose(
        fitted.combine(digits.logits), log_softmax(pooled / expected, axis=1), atol=1e-5
    )


def test_never_fitted_on_rows_that_the_rule_inside_has_seen(unique):
    plain, memory = Temperature().fit(unique), Temperature(Memorizer()).fit(unique)
    assert memory.notes()["temperature"] == pytest.approx(plain.notes()["temperature"], rel=1e-5)
    seen = best_temperature(Memorizer().fit(unique).combine(unique.logits), unique.labels)
    assert seen < 0.6 * memory.notes()["temperature"]


def test_a_composite_weighs_inputs_on_rows_that_they_have_not_seen(unique):
    fitted = Compose({"memory": Memorizer(), "soft": "soft_voting"}, final="weighted").fit(unique)
    assert fitted.final.member_weights()["memory"] == pytest.approx(0.5, abs=1e-3)
    naive = np.stack([Memorizer().fit(unique).combine(unique.logits), SoftVoting().combine(unique.logits)])
    leaky = type(unique).from_logits(
        naive, members=["memory", "soft"], class_names=unique.class_names, labels=unique.labels
    )
    assert Weighted().fit(leaky).member_weights()["memory"] > 0.99


def test_members_get_their_own_temperature(digits):
    fitted = MemberTemperature().fit(digits)
    expected = [best_temperature(logits, digits.labels) for logits in digits.logits]
    assert list(fitted.notes()["temperatures"].values()) == pytest.approx(expected, rel=1e-5)
    scaled = digits.logits / np.array(expected, np.float32)[:, None, None]
    np.testing.assert_allclose(fitted.combine(digits.logits), SoftVoting().combine(scaled), atol=1e-5)


@pytest.mark.parametrize("kind", [Temperature, MemberTemperature])
def test_recalibrate_changes_the_temperature_alone(kind, digits):
    first, second = digits.rows(np.arange(450)), digits.rows(np.arange(450, 900))
    fitted = kind("weighted").fit(first)
    weights, before = fitted.member_weights(), fitted.notes()
    assert fitted.recalibrate(second) is fitted
    assert fitted.member_weights() == weights and fitted.notes() != before
    seen = type(digits).from_logits(
        second.logits,
        members=digits.members,
        class_names=digits.class_names,
        labels=second.labels,
        seen=np.ones((4, 450), bool),
    )
    with pytest.raises(LeakError):
        fitted.recalibrate(seen)
