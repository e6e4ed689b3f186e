"""Temperatures fitted on few rows: the log-loss of new rows, compared with T = 1 and with the best T.

One member with four classes. "Calibrated", "overconfident" and "underconfident" have the right logits, four
times and a quarter of them. "Easy" is right in 99.5% of the rows, so that small samples have no error and no
finite optimum. "Cosine" has cosine similarities as logits, which need a temperature far below 0.05. "Worse
than chance" prefers wrong classes. The figures are mean log-losses of 20,000 new rows; the brackets are the
mean plus and minus one standard error over the fits.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from harness import Row, main
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from simulations.problems import Problem, problem
from simulations.rows import mean

from committee.combiners.temperature import Temperature

KINDS = {
    "calibrated": problem([1.5]),
    "overconfident": problem([1.5], scale=4),
    "underconfident": problem([1.5], scale=0.25),
    "easy": problem([4.2]),
    "cosine": problem([2.5], scale=0.004),
    "worse than chance": problem([-0.5], scale=4),
}


def log_loss(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """Return the mean log-loss of logits."""
    exact = logits.astype(np.float64)
    return float((logsumexp(exact, axis=1) - exact[np.arange(len(labels)), labels]).mean())


def of_kind(kind: str, source: Problem, counts: Iterable[int], fits: int) -> Iterable[Row]:
    """Yield the log-losses of one kind of member."""
    random = np.random.default_rng(5)
    new = source.draw(20_000, random)
    labels, logits = new.require_labels("benchmark"), new.logits
    question = f"log-loss of new rows with a temperature, {fits:,} fits"
    at = minimize_scalar(
        lambda power: log_loss(logits[0] * np.exp(power), labels), bounds=(-9, 9), method="bounded"
    )
    yield Row(question, f"{kind}, T = 1", "", log_loss(logits[0], labels), unit="nats")
    yield Row(question, f"{kind}, best T", "", float(at.fun), unit="nats", note=f"T = {np.exp(-at.x):.3g}")
    for rows in counts:
        found = []
        for _ in range(fits):
            rule = Temperature().fit(source.draw(rows, random))
            found.append(log_loss(rule.combine(logits), labels))
        yield mean(question, f"{kind}, T of {rows:,} rows", found, "nats")


def measure(quick: bool) -> list[Row]:
    """Return the log-losses for each kind of member."""
    counts, fits = ((20, 50), 3) if quick else ((20, 50, 100, 300, 1000), 200)
    return [row for kind, source in KINDS.items() for row in of_kind(kind, source, counts, fits)]


if __name__ == "__main__":
    main(measure)
