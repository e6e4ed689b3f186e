"""Scales and biases of classes: the gradient, the optimum, and classes with few rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.special import log_softmax

from committee.solvers.class_scaling import best_class_scaling, log_loss_and_gradient


def draw(rows: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, rows)
    evidence = random.normal(size=(rows, classes)) + 2 * np.eye(classes)[labels]
    return log_softmax(2 * evidence, axis=1).astype(np.float32), labels


def test_gradient() -> None:
    logits, labels = draw(400, 4)
    point = np.random.default_rng(1).normal(size=8) * 0.3
    loss, gradient = log_loss_and_gradient(logits, labels, 1 + point[:4], point[4:])
    scores = log_softmax((1 + point[:4]) * logits + point[4:], axis=1)
    assert loss == pytest.approx(-scores[np.arange(400), labels].mean(), rel=1e-5)

    def exact(at: np.ndarray) -> float:
        scores = log_softmax((1 + at[:4]) * logits.astype(np.float64) + at[4:], axis=1)
        return -float(scores[np.arange(400), labels].mean())

    np.testing.assert_allclose(gradient, approx_fprime(point, exact, 1e-6), atol=1e-4)


def test_the_penalized_gradient_vanishes_at_the_result() -> None:
    logits, labels = draw(600, 5)
    scale, bias = best_class_scaling(logits, labels, spread=0.5)
    gradient = log_loss_and_gradient(logits, labels, scale, bias)[1]
    penalty = np.concatenate([scale - 1, bias]) / (600 * 0.5**2)
    np.testing.assert_allclose(gradient + penalty, 0, atol=1e-5)


def test_few_rows_are_safe() -> None:
    """Ten rows of each class, which need no correction."""
    new, truth = draw(20_000, 5, seed=9)

    def loss(scale: np.ndarray, bias: np.ndarray) -> float:
        return -float(log_softmax(scale * new + bias, axis=1)[np.arange(len(truth)), truth].mean())

    found = {spread: [] for spread in (0.1, 10.0)}
    for seed in range(10):
        for spread, losses in found.items():
            losses.append(loss(*best_class_scaling(*draw(50, 5, seed), spread)))
    none, safe, free = loss(np.ones(5), np.zeros(5)), np.mean(found[0.1]), np.mean(found[10.0])
    assert safe - none < 0.005 < 0.06 < free - none


def test_biases_of_a_shifted_class_are_found() -> None:
    logits, labels = draw(20_000, 3)
    scale, bias = best_class_scaling(logits + np.array([1, 0, 0], np.float32), labels, spread=1.0)
    assert bias[0] - bias[1:].mean() == pytest.approx(-1, abs=0.1)
    np.testing.assert_allclose(scale, 1, atol=0.09)
