"""Numbers: coverage of 95% intervals, false and true claims of gains, and coverage of conformal intervals.

Intervals: true numbers are standard normal, and errors have a standard deviation of 0.6: normal, Student's t
with 5 or 3 degrees of freedom, exponential (skewed), log-normal (skewed and heavy-tailed), or with a size
that depends on the true number. Groups: rows of a group share 40% of the variance of their errors. Claims: a
leaderboard is the result of `score_all` on 100 rows; without a true gain, the methods are members that are
exactly equal, or rules that combine a member with worse copies of it. Conformal: the size of the noise
differs between rows, and the spread that normalizes is the true one. The brackets are the mean plus and minus
one standard error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from harness import Row, main
from numpy.typing import NDArray
from simulations.rows import mean, share

from committee.combiners.base import Combiner, build
from committee.metrics.conformal_numbers import (
    coverage_and_width,
    interval_limits,
    residual_scores,
)
from committee.metrics.regression import METRICS, NumberRows, evaluate
from committee.metrics.sampling import Sample
from committee.predictions.simulation import simulate_numbers
from committee.predictions.table import Predictions
from committee.scoring.scores import score_all

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, Floats], Floats]
NOISE, MOST = 0.6, 5.0
ERRORS: Mapping[str, Draw] = {
    "normal errors": lambda random, truth: random.standard_normal(truth.shape),
    "t5 errors": lambda random, truth: random.standard_t(5, truth.shape) / np.sqrt(5 / 3),
    "t3 errors": lambda random, truth: random.standard_t(3, truth.shape) / np.sqrt(3),
    "exponential errors": lambda random, truth: random.exponential(size=truth.shape) - 1,
    "log-normal errors": lambda random, truth: _log_normal(random.standard_normal(truth.shape), 0.75),
    "errors that depend on the truth": lambda random, truth: (
        random.standard_normal(truth.shape) * (0.3 + np.abs(truth)) / 1.16
    ),
}


def _log_normal(normal: Floats, shape: float) -> Floats:
    """Return log-normal numbers with a mean of 0 and a standard deviation of 1."""
    middle = np.exp(shape**2 / 2)
    result: Floats = (np.exp(shape * normal) - middle) / (middle * np.sqrt(np.expm1(shape**2)))
    return result


def drawn(kind: str, rows: int, random: np.random.Generator) -> NumberRows:
    """Return predicted and true numbers."""
    truth = random.standard_normal((rows, 1))
    return NumberRows.read(truth + NOISE * ERRORS[kind](random, truth), truth)


def intervals(count: int, quick: bool) -> Iterable[Row]:
    """Yield the coverage of intervals of independent rows."""
    question = f"coverage of 95% intervals of numbers, {count:,} data sets"
    for kind in ERRORS:
        known = drawn(kind, 1_000_000, np.random.default_rng(1))
        truth = evaluate(known.values, known.truth)
        for rows in (50,) if quick else (50, 100, 300):
            random, hits = np.random.default_rng((2, rows)), {name: [False] * count for name in METRICS}
            for place in range(count):
                _note(hits, place, drawn(kind, rows, random), Sample(rows), truth)
            for name in METRICS:
                yield share(question, f"{name}, {kind}, n = {rows}", hits[name])


def _note(
    hits: Mapping[str, list[bool]], place: int, rows: NumberRows, sample: Sample, truth: Mapping[str, float]
) -> None:
    for name, of in hits.items():
        found = METRICS[name].interval(rows, sample, 1000, 0)
        of[place] = found.low <= truth[name] <= found.high


def grouped(count: int, quick: bool) -> Iterable[Row]:
    """Yield the coverage with groups of 10 rows that share a part of their errors."""
    question = f"coverage of 95% intervals of numbers, groups of 10 rows, {count:,} data sets"
    truth = {"rmse": NOISE, "mae": NOISE * np.sqrt(2 / np.pi), "r2": 1 - NOISE**2}
    for groups in (10,) if quick else (10, 20, 50):
        random, place = np.random.default_rng((3, groups)), np.repeat(np.arange(groups), 10)
        hits = {name: [False] * count for name in truth}
        for seed in range(count):
            common, own = random.standard_normal(groups)[place], random.standard_normal(10 * groups)
            true = random.standard_normal(10 * groups)
            rows = NumberRows.read(true + NOISE * (np.sqrt(0.4) * common + np.sqrt(0.6) * own), true)
            _note(hits, seed, rows, Sample(len(rows), place), truth)
        for name in truth:
            yield share(question, f"{name}, {groups} groups", hits[name])


def singles(predictions: Predictions) -> dict[str, Combiner]:
    """Return methods that are one fixed member each."""
    return {name: build({"combiner": "subset", "members": [name]}) for name in predictions.members}


def rules() -> dict[str, Combiner]:
    """Return four rules."""
    return {
        key: build({"combiner": key}) for key in ("soft_voting", "weighted", "greedy_selection", "median")
    }


def _equal(members: int, seed: int) -> Predictions:
    return simulate_numbers(dict.fromkeys("abcdefghij"[:members], NOISE), rows=100, shared=0.5, seed=seed)


def _copies(seed: int) -> Predictions:
    """Return a member, and three that are it plus noise, so that no rule is better."""
    random = np.random.default_rng(seed)
    truth = random.normal(size=(100, 1))
    best = truth + 0.3 * random.standard_t(3, size=truth.shape)
    worse = best + NOISE * random.standard_normal((3, *truth.shape))
    return Predictions.from_values(
        np.concatenate([best[None], worse]), members=list("abcd"), target_names=["target"], labels=truth
    )


def _grouped(seed: int) -> Predictions:
    """Return four equal members on 30 groups of five rows, which share half of the variance of the errors."""
    random, groups = np.random.default_rng(seed), np.repeat(np.arange(30), 5)
    truth = random.normal(size=(150, 1))
    common, own = random.normal(size=(4, 30, 1))[:, groups], random.normal(size=(4, 150, 1))
    return Predictions.from_values(
        truth + NOISE * np.sqrt(0.5) * (common + own),
        members=list("abcd"),
        target_names=["target"],
        labels=truth,
        groups=groups,
    )


def claims(count: int, quick: bool) -> Iterable[Row]:
    """Yield how often a leaderboard claims a gain, without and with a true one."""
    question = f"leaderboards of numbers that claim a gain, {count:,} data sets"
    cases: dict[str, tuple[Callable[[int], Predictions], bool, float | None]] = {
        "2 equal members (no gain)": (lambda seed: _equal(2, seed), True, MOST),
        "5 equal members (no gain)": (lambda seed: _equal(5, seed), True, MOST),
        "4 equal members, 30 groups of 5 rows (no gain)": (_grouped, True, MOST),
        "four rules of a member and worse copies (no gain)": (_copies, False, MOST),
        "four rules of 2 equal members (a true gain)": (lambda seed: _equal(2, seed), False, None),
    }
    for work, (source, alone, most) in cases.items():
        found: dict[str, list[bool]] = {name: [] for name in METRICS}
        for seed in range(count):
            predictions = source(seed)
            scores = score_all(singles(predictions) if alone else rules(), predictions, seed=seed)
            for name, hits in found.items():
                hits.append(any(each.gain[name].proven for _, each in scores.values()))
        for name, hits in found.items():
            yield share(question, f"{work}, {name}", hits, most)


def conformal(count: int, quick: bool) -> Iterable[Row]:
    """Yield the coverage and the mean width of conformal intervals of 2,000 new rows."""
    question = f"conformal intervals of numbers, 0.9 asked, {count:,} data sets"
    for rows in (20,) if quick else (20, 50, 500):
        random = np.random.default_rng((4, rows))
        found: dict[str, list[float]] = {}
        for _ in range(count):
            spread = np.exp(0.7 * random.standard_normal((rows + 2000, 1)))
            errors = spread * random.standard_normal(spread.shape)
            for kind, size in (("absolute", np.ones_like(spread)), ("normalized", spread)):
                scores = residual_scores(0 * errors[:rows], errors[:rows], size[:rows])
                limit = interval_limits(scores, [0.9])[0]
                new = coverage_and_width(0 * errors[rows:], errors[rows:], limit, size[rows:])[0]
                for name in ("coverage", "mean_width"):
                    found.setdefault(f"{kind}, n = {rows}, {name}", []).append(new[name].value)
        for work, values in found.items():
            is_share = work.endswith("coverage")
            yield mean(question, work, np.array(values) * (100 if is_share else 1), "%" if is_share else "")


def measure(quick: bool) -> list[Row]:
    """Return the coverage of intervals, the shares of claims, and conformal coverage."""
    count = 20 if quick else 2000
    return [
        *intervals(count, quick),
        *grouped(count, quick),
        *claims(2 if quick else 300, quick),
        *conformal(5 if quick else 300, quick),
    ]


if __name__ == "__main__":
    main(measure)
