"""Stacking by logistic regression, compared with scikit-learn: seconds to the same log-loss, 50,000 x 150.

15 simulated members of 10 classes share most of their signal, so that their log-probabilities are almost
collinear. Both minimize `C * sum(log-loss) + |W|^2 / 2` on standardized features. `committee` is fitted as
in `stacking_lr`; scikit-learn in float32, which is faster, with the largest of several tolerances whose
objective is within 1e-6 of that of `committee`. Two threads of BLAS each.
"""

from __future__ import annotations

import warnings

import numpy as np
from greedy_selection import simulated
from harness import Row, compare, main
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression

from committee.solvers.softmax_regression import SoftmaxRegression

QUESTION, PEER, TARGET = "stacking by logistic regression", "scikit-learn's L-BFGS", 1
TOLERANCES = (1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6, 1e-7)
CLOSE = 1e-6


def objective(
    weight: NDArray[np.floating],
    bias: NDArray[np.floating],
    shown: NDArray[np.float32],
    labels: NDArray[np.int64],
    strength: float,
) -> float:
    """Return the objective per row in float64; intercepts have no penalty."""
    scores = shown.astype(np.float64) @ weight.T + bias
    loss = -log_softmax(scores, axis=1)[np.arange(len(labels)), labels].mean()
    return float(loss + (weight**2).sum() / (2 * strength * len(labels)))


def scikit_learn(
    shown: NDArray[np.float32], labels: NDArray[np.int64], strength: float, tolerance: float
) -> LogisticRegression:
    """Return the model of scikit-learn on standardized features."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LogisticRegression(C=strength, tol=tolerance, max_iter=5000).fit(shown, labels)


def measure(quick: bool) -> list[Row]:
    """Find the tolerance, then compare the times, for a strong and a weak penalty."""
    members, rows, rounds = (4, 1000, 2) if quick else (15, 50_000, 5)
    predictions = simulated(members, rows, 10)
    labels = predictions.require_labels("benchmark")
    features = log_softmax(predictions.logits, axis=2).transpose(1, 0, 2).reshape(rows, -1).astype(np.float32)
    shown = (features - features.mean(axis=0)) / features.std(axis=0)
    answers = []
    for strength in (0.01, 1.0):
        model = SoftmaxRegression(shown, labels, 10)
        reached = objective(*model.fit(strength), shown, labels, strength)
        found = {}
        for tolerance in TOLERANCES:
            peer = scikit_learn(shown, labels, strength, tolerance)
            found[tolerance] = objective(peer.coef_, peer.intercept_, shown, labels, strength)
            if found[tolerance] <= reached + CLOSE:
                break
        work = f"{rows:,} x {members * 10}, 10 classes, C = {strength:g}, float32"
        theirs_reached = f"theirs {found[tolerance]:.6f}, tol {tolerance:g}"
        note = f"objective {reached:.6f} in {model.iterations} steps; {theirs_reached}"

        def ours(strength: float = strength) -> object:
            return SoftmaxRegression(shown, labels, 10).fit(strength)

        def theirs(strength: float = strength, tolerance: float = tolerance) -> object:
            return scikit_learn(shown, labels, strength, tolerance)

        answers.append(Row(QUESTION, work, PEER, *compare(ours, theirs, rounds), TARGET, note))
    return answers


if __name__ == "__main__":
    main(measure, threads=2)
