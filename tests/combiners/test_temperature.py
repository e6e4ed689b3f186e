"""Temperatures: the optimum in 1/T, on rows that the inner rule was not fitted on."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given
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
from committee.solvers.newton import best_temperature, fit_temperature


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


def draw(rows, classes, strength, seed=0):
    """Return logits whose softmax is the exact posterior (the best temperature is 1), and labels."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows)
    evidence = random.normal(size=(rows, classes)) + strength * np.eye(classes)[labels]
    return (strength * evidence).astype(np.float32), labels


def log_loss(logits, labels):
    return -log_softmax(logits.astype(float), axis=1)[np.arange(len(labels)), labels].mean()


def penalized(log_inverse, logits, labels):
    """The sum of the log-loss, minus half the log of the sum of the variances: Firth's penalty."""
    log_probs = log_softmax(logits * np.exp(log_inverse), axis=1)
    probs = np.exp(log_probs)
    variances = (probs * logits**2).sum(axis=1) - (probs * logits).sum(axis=1) ** 2
    return -log_probs[np.arange(len(labels)), labels].sum() - np.log(variances.sum()) / 2


@given(st.integers(0, 10_000), st.floats(0.3, 4), st.integers(2, 8), st.integers(20, 300))
def test_agrees_with_scipy(seed, scale, classes, rows):
    logits, labels = draw(rows, classes, 1.2, seed)
    found = best_temperature(logits * np.float32(scale), labels)
    exact = logits.astype(np.float64) * scale
    best = minimize_scalar(
        penalized, args=(exact, labels), bounds=(-6, 4), method="bounded", options={"xatol": 1e-9}
    )
    assume(best.x > -2)  # elsewhere the bound or a second minimum
    assert found == pytest.approx(np.exp(-best.x), rel=1e-4)


@given(
    st.integers(0, 10_000),
    st.sampled_from([0.05, 0.7, 3.0, 1000.0]),
    st.integers(2, 30),
    st.sampled_from([20, 40, 300, 9000]),
    st.floats(0.2, 5),
)
def test_multiplied_logits_have_a_multiplied_temperature(seed, factor, classes, rows, strength):
    logits, labels = draw(rows, classes, strength, seed)
    found = fit_temperature(logits, labels)
    multiplied = fit_temperature(logits * np.float32(factor), labels)
    assert multiplied.value == pytest.approx(factor * found.value, rel=1e-4)
    assert multiplied.note == found.note


def test_cosine_similarities():
    logits, labels = draw(2000, 10, 2.0)
    cosines = logits / 120
    assert np.abs(cosines).max() < 0.2
    found = best_temperature(cosines, labels)
    assert found == pytest.approx(1 / 120, rel=0.1)
    new, truth = draw(20_000, 10, 2.0, seed=1)
    assert log_loss(new / 120 / found, truth) < log_loss(new, truth) + 0.002


def test_forty_rows_that_are_all_right_do_not_make_a_model_certain():
    """Outputs that are right in 94 of 100 new rows."""
    losses = []
    for seed in range(300):
        logits, labels = draw(40, 10, 3.3, seed)
        if (logits.argmax(axis=1) == labels).all():
            found = fit_temperature(logits, labels)
            assert found.note == "every row is predicted right, so the prior determines the temperature"
            new, truth = draw(1000, 10, 3.3, seed + 1000)
            losses.append((log_loss(new / found.value, truth), log_loss(new, truth)))
    assert len(losses) > 10
    fitted, best = np.mean(losses, axis=0)
    assert fitted < best + 0.15  # the minimum without a prior is a temperature of 0: infinite log-loss


def test_worse_than_chance():
    logits, labels = draw(500, 4, 2.0)
    found = fit_temperature(-logits, labels)
    assert found.note == (
        "no temperature is better than equal probabilities, so it makes all classes almost equal"
    )
    assert log_loss(-logits / found.value, labels) == pytest.approx(np.log(4), abs=0.03)
    assert fit_temperature(np.ones((30, 4), np.float32), labels[:30]) == (
        1.0,
        "the logits of each row are equal, so the temperature is 1",
    )


def test_a_few_rows_are_called_few():
    logits, labels = draw(12, 3, 0.8, seed=2)
    assert fit_temperature(logits, labels).note.startswith(
        "the relative standard error of the temperature is"
    )
    assert fit_temperature(*draw(1000, 3, 0.8)).note == ""


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
    seen = fit_temperature(Memorizer().fit(unique).combine(unique.logits), unique.labels)
    assert seen.note.startswith("every row is predicted right") and "temperature_note" not in memory.notes()


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


def test_notes_say_that_a_temperature_is_not_determined(digits):
    right = (digits.logits.argmax(axis=2) == digits.labels).all(axis=0)
    sure = digits.rows(right)
    note = "every row is predicted right, so the prior determines the temperature"
    assert Temperature().fit(sure).notes()["temperature_note"] == note
    assert set(MemberTemperature().fit(sure).notes()["temperature_notes"].items()) == {
        (name, note) for name in digits.members
    }
    assert "temperature_notes" not in MemberTemperature().fit(digits).notes()


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
