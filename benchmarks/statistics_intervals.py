"""Coverage of 95% intervals: how often the interval of a simulated data set contains the true value.

Accuracy: n independent rows, each right with the same probability. The interval depends on the number of
right rows alone, so its coverage is a sum over the binomial distribution, without simulation error. AUROC:
normal scores of two classes. The other metrics: three classes, of which the second data set has two rare
ones. Groups: rows of a group share a part of their difficulty, and the truth is that of new groups. The
brackets are the share plus and minus one standard error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from harness import Row, main
from scipy.integrate import quad
from scipy.special import log_softmax
from scipy.stats import binom, norm
from simulations.problems import Problem, problem
from simulations.rows import share

from committee.metrics.classification import evaluate
from committee.metrics.confidence import intervals

NAMES = ("log_loss", "brier", "f1_macro", "balanced_accuracy")


def of_accuracy(accuracy: float, rows: int) -> float:
    """Return the coverage of the interval of an accuracy: the sum over the possible numbers of right rows."""
    labels, total = np.zeros(rows, np.int64), 0.0
    first, last = binom(rows, accuracy).ppf([1e-4, 1 - 1e-4]).astype(int)
    for right in range(first, last + 1):
        log_probs = np.log(np.where((np.arange(rows) < right)[:, None], [0.9, 0.1], [0.1, 0.9]))
        found = intervals(log_probs, labels, names=["accuracy"])["accuracy"]
        total += binom(rows, accuracy).pmf(right) * (found.low - 1e-12 <= accuracy <= found.high + 1e-12)
    return total


def accuracies(quick: bool) -> Iterable[Row]:
    """Yield the coverage of accuracies."""
    question = "coverage of 95% intervals, accuracy (exact sum)"
    for accuracy in (0.5, 0.9, 0.99, 0.999):
        for rows in (20, 50) if quick else (20, 50, 100, 300, 1000):
            work = f"accuracy {accuracy:g}, n = {rows}"
            yield Row(question, work, "", 100 * of_accuracy(accuracy, rows), unit="%")


def rankings(count: int, quick: bool) -> Iterable[Row]:
    """Yield the coverage of the AUROC."""
    question = f"coverage of 95% intervals, AUROC, {count:,} data sets"
    for area in (0.7, 0.9, 0.99):
        for positive in (0.5, 0.2):
            for rows in (50,) if quick else (20, 50, 100, 300):
                random = np.random.default_rng((1, int(1000 * area), int(10 * positive), rows))
                labels = (np.arange(rows) < positive * rows).astype(np.int64)
                hits = []
                for seed in range(count):
                    score = random.standard_normal(rows) + labels * np.sqrt(2) * norm.ppf(area)
                    log_probs = log_softmax(np.stack([-score, score], axis=1), axis=1)
                    found = intervals(log_probs, labels, names=["auroc"], seed=seed)["auroc"]
                    hits.append(found.low <= area <= found.high)
                work = f"AUROC {area:g}, {100 * positive:g}% positive, n = {rows}"
                yield share(question, work, hits)


def mixtures(count: int, quick: bool) -> Iterable[Row]:
    """Yield the coverage of metrics of three classes."""
    question = f"coverage of 95% intervals, other metrics, {count:,} data sets"
    kinds = {
        "balanced classes": problem([1.8], classes=3),
        "rare classes": problem([1.8], classes=3, prior=[0.8, 0.12, 0.08]),
    }
    for kind, source in kinds.items():
        truth = true_values(source)
        for rows in (50,) if quick else (50, 200, 1000):
            hits = covered(source, truth, rows, count)
            for name in NAMES:
                yield share(question, f"{name}, {kind}, n = {rows}", hits[name])


def true_values(source: Problem) -> Mapping[str, float]:
    """Return the metrics of very many rows."""
    rows = source.draw(1_000_000, np.random.default_rng(2))
    return evaluate(log_softmax(rows.logits[0], axis=1), rows.require_labels("benchmark"), NAMES)


def covered(source: Problem, truth: Mapping[str, float], rows: int, count: int) -> dict[str, list[bool]]:
    """Return, for each metric, whether each interval contains the true value."""
    random = np.random.default_rng((3, rows))
    hits: dict[str, list[bool]] = {name: [] for name in NAMES}
    for seed in range(count):
        drawn = source.draw(rows, random)
        labels = drawn.require_labels("benchmark")
        found = intervals(log_softmax(drawn.logits[0], axis=1), labels, names=NAMES, seed=seed)
        for name in NAMES:
            hits[name].append(found[name].low <= truth[name] <= found[name].high)
    return hits


def grouped(count: int, quick: bool) -> Iterable[Row]:
    """Yield the coverage with groups of 20 rows."""
    question = f"coverage of 95% intervals, groups of 20 rows, {count:,} data sets"
    for accuracy in (0.7, 0.95):
        ease = norm.ppf(accuracy)
        loss = quad(lambda z, ease=ease: np.log1p(np.exp(-2 * z)) * norm.pdf(z - ease), -9, 12)[0]
        truth = {"accuracy": accuracy, "log_loss": loss}
        for shared in (0.1, 0.4):
            for groups in (5,) if quick else (5, 10, 50):
                hits: dict[str, list[bool]] = {name: [] for name in truth}
                for found in of_groups(ease, shared, groups, count):
                    for name, value in truth.items():
                        hits[name].append(found[name].low <= value <= found[name].high)
                for name in truth:
                    work = (
                        f"{name} (accuracy {accuracy:g}), {shared:g} of the variance shared, {groups} groups"
                    )
                    yield share(question, work, hits[name])


def of_groups(ease: float, shared: float, groups: int, count: int) -> Iterable[Mapping[str, object]]:
    """Yield the intervals of data sets in which rows of a group share a part of their difficulty."""
    random = np.random.default_rng((4, int(100 * shared), groups, int(1000 * ease)))
    place, labels = np.repeat(np.arange(groups), 20), np.zeros(20 * groups, np.int64)
    for seed in range(count):
        common, own = random.standard_normal(groups)[place], random.standard_normal(20 * groups)
        margin = ease + np.sqrt(shared) * common + np.sqrt(1 - shared) * own
        log_probs = log_softmax(np.stack([margin, -margin], axis=1), axis=1)
        yield intervals(log_probs, labels, groups=place, names=["accuracy", "log_loss"], seed=seed)


def measure(quick: bool) -> list[Row]:
    """Return the coverage for each kind of data."""
    count = 20 if quick else 2000
    return [
        *accuracies(quick),
        *rankings(count, quick),
        *mixtures(count, quick),
        *grouped(count, quick),
    ]


if __name__ == "__main__":
    main(measure)
