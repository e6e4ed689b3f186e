"""Weights of members of 2 million rows: numbers, and classes as the sampled pixels of masks have.

Numbers have a convex quadratic problem. The peers are two ways to solve it with scipy: SLSQP on the products
of the errors, which is its fastest mode (the pass over the rows is included, as in `committee`), and `nnls`
on the values with a heavily weighted row for the sum of 1. All must reach the same mean squared error;
`committee` adds a certificate. Of classes, the weights for the log-loss are timed alone: at most 2 s for two
classes, the foreground of a mask. One thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from harness import Row, compare, main, seconds, spread
from numpy.typing import NDArray
from scipy.optimize import minimize, nnls

from committee.combiners.weighted import Weighted
from committee.predictions.table import Predictions

QUESTION, MOST, MEMBERS, SUM = "weights of 2 million rows", 2.0, 7, 1e4
Weights = NDArray[np.float64]


def numbers(rows: int) -> Predictions:
    """Return numbers of members with errors of different sizes, which share a part."""
    random = np.random.default_rng(0)
    labels, shared = random.normal(size=(2, rows))
    sizes = np.linspace(0.4, 1.2, MEMBERS)
    values = (labels + size * random.normal(size=rows) + 0.3 * shared for size in sizes)
    return Predictions.from_values(
        np.stack([each.astype(np.float32) for each in values])[..., None],
        members=[f"m{place}" for place in range(MEMBERS)],
        labels=labels,
    )


def classes(rows: int) -> Predictions:
    """Return logits of two classes."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, rows)
    skill = np.linspace(0.5, 2, MEMBERS)
    sides = (2 * labels - 1) * skill[:, None] + 1.5 * random.normal(size=(MEMBERS, rows))
    logits = np.stack([-sides, sides], axis=2).astype(np.float32)
    names = [f"m{place}" for place in range(MEMBERS)]
    return Predictions.from_logits(logits, members=names, class_names=["ground", "object"], labels=labels)


def ours(predictions: Predictions) -> Weights:
    """Return the weights of `committee`; columns of an earlier fit are not reused."""
    return Weighted().fit(replace(predictions)).learned("weight").double().numpy()


def errors_of(predictions: Predictions) -> NDArray[np.float64]:
    """Return the errors of the members, float64 `[M, N]`."""
    return (predictions.logits - predictions.require_labels("benchmark"))[..., 0]


def by_slsqp(predictions: Predictions) -> Weights:
    """Return the weights of sequential quadratic programming on the products of the errors."""
    errors = errors_of(predictions)
    products = errors @ errors.T / errors.shape[1]
    found = minimize(
        lambda weights: weights @ products @ weights,
        np.full(MEMBERS, 1 / MEMBERS),
        jac=lambda weights: 2 * products @ weights,
        method="SLSQP",
        bounds=[(0, 1)] * MEMBERS,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1},
        tol=1e-10,
    )
    return np.asarray(found.x)


def by_nnls(predictions: Predictions) -> Weights:
    """Return the weights of non-negative least squares, with a row for the sum."""
    values = predictions.logits[..., 0].T.astype(np.float64)
    heavy = SUM * np.sqrt(len(values))
    table = np.vstack([values, np.full((1, MEMBERS), heavy)])
    truth = np.append(predictions.require_labels("benchmark")[:, 0], heavy)
    found = nnls(table, truth)[0]
    return np.asarray(found / found.sum())


def check(predictions: Predictions, theirs: Weights) -> str:
    """Fail unless both have the same mean squared error; return its difference and the certificate."""
    errors, fitted = errors_of(predictions), Weighted().fit(predictions)
    mine = fitted.learned("weight").double().numpy()
    squares = [float(np.square(weights @ errors).mean()) for weights in (mine, theirs)]
    if squares[0] > squares[1] + 1e-6:
        raise SystemExit(f"mean squared error {squares[0]:.9f}, that of scipy {squares[1]:.9f}")
    certificate = fitted.notes()["certificate"]
    return f"ours {squares[0] - squares[1]:+.0e} from scipy's mse, certificate {certificate:.0e}"


def measure(quick: bool) -> list[Row]:
    """Compare with scipy on numbers, then time numbers and classes alone."""
    rows, rounds = (5000, 2) if quick else (2_000_000, 5)
    size = f"{MEMBERS} x {rows:,}"
    found = numbers(rows)
    peers: dict[str, Callable[[Predictions], Weights]] = {
        "scipy SLSQP on products": by_slsqp,
        "scipy nnls": by_nnls,
    }
    answers = [
        Row(
            QUESTION,
            f"{size} numbers, 1 thread",
            name,
            *compare(lambda: ours(found), lambda solve=solve: solve(found), rounds),
            None,
            check(found, solve(found)),
        )
        for name, solve in peers.items()
    ]
    for kind, predictions in (("numbers", found), ("x 2 logits of pixels", classes(rows))):
        times = spread([seconds(lambda predictions=predictions: ours(predictions)) for _ in range(rounds)])
        work = f"{size} {kind}, 1 thread"
        answers.append(Row(QUESTION, work, "", times[0], None, times[1], times[2], MOST))
    return answers


if __name__ == "__main__":
    main(measure)
