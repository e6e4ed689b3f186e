"""False claims and power: how often a leaderboard claims a proven gain, without and with a true gain.

A leaderboard is the result of `score_all` on 300 rows of three classes. Without a true gain, its methods are
rules on members that predict at random (no rule is more accurate than a member), or single members that are
exactly equal. "One good member" has four useless ones beside it, so that no rule can be better than that
member. With a true gain, two equal members share a part of their noise, and the claim is that of soft
voting, alone or beside six other methods. The size of a gain is its mean over the data sets divided by its
standard deviation, and the oracle is the one-sided test at 2.5% that knows this deviation. The last rows
compare two fixed predictions with mlxtend's `mcnemar` and
paired `permutation_test`, one-sided at 2.5% too. The brackets are the share
plus and minus one standard error; the target is the promise plus two standard errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache

import numpy as np
from harness import Row, absent, installed, main
from numpy.typing import NDArray
from scipy.special import log_softmax
from simulations.problems import Problem, problem
from simulations.rows import share

from committee.combiners.base import Combiner, build
from committee.predictions.table import Predictions
from committee.scoring.gains import gain
from committee.scoring.scores import score_all

ROWS, MOST = 300, 5.0
FALSE, TRUE = 300, 150
SEVEN = {
    "soft_voting": {"combiner": "soft_voting"},
    "logit_averaging": {"combiner": "logit_averaging"},
    "hard_voting": {"combiner": "hard_voting"},
    "weighted": {"combiner": "weighted"},
    "weighted_logit": {"combiner": "weighted", "space": "logit"},
    "greedy_selection": {"combiner": "greedy_selection"},
    "greedy_accuracy": {"combiner": "greedy_selection", "metric": "accuracy"},
}
Rules = dict[str, Combiner]
Known = tuple[int, int]


def rules(names: Iterable[str] = SEVEN) -> Rules:
    """Return rules by name."""
    return {name: build(SEVEN[name]) for name in names}


def singles(predictions: Predictions, most: int) -> Rules:
    """Return methods that are one fixed member each."""
    members = predictions.members[:most]
    return {name: build({"combiner": "subset", "members": [name]}) for name in members}


def claimed(methods: Mapping[str, Combiner], predictions: Predictions, seed: int) -> dict[str, bool]:
    """Return, for each metric, whether any method has a proven gain."""
    found = score_all(methods, predictions, seed=seed)
    return {
        metric: any(scores.gain[metric].proven for _, scores in found.values())
        for metric in ("accuracy", "log_loss")
    }


def false_claims(count: int, quick: bool) -> Iterable[Row]:
    """Yield the shares of leaderboards that claim a gain where there is none."""
    for members in (2,) if quick else (2, 5, 20):
        chance = problem([0.0] * members, classes=3)
        equal = problem([1.5] * members, classes=3)
        for methods in (1, 7):
            names = list(SEVEN)[:methods]
            work = f"{members} members that predict at random, {_methods(methods)}"
            yield from _claims(work, chance, lambda _, names=names: rules(names), ("accuracy",), count)
        for methods in (1, 7):
            work = f"{members} equal members, {_methods(methods)}"
            yield from _claims(
                work, equal, lambda rows, most=methods: singles(rows, most), ("accuracy", "log_loss"), count
            )
    good = problem([2.0, 0, 0, 0, 0], classes=3)
    work = f"one good member and four useless ones, {_methods(7)}"
    yield from _claims(work, good, lambda _: rules(), ("accuracy", "log_loss"), count)


def _methods(count: int) -> str:
    return "1 method" if count == 1 else f"{count} methods"


def _claims(
    work: str,
    source: Problem,
    methods: Callable[[Predictions], Rules],
    metrics: Iterable[str],
    count: int,
) -> Iterable[Row]:
    random = np.random.default_rng(7)
    found = []
    for seed in range(count):
        predictions = source.draw(ROWS, random)
        found.append(claimed(methods(predictions), predictions, seed))
    question = f"leaderboards that claim a gain without any, {count:,} data sets"
    for metric in metrics:
        yield share(question, f"{metric}, {work}", [each[metric] for each in found], MOST)


def power(count: int, quick: bool) -> Iterable[Row]:
    """Yield the shares of data sets in which the gain of soft voting is proven."""
    question = f"true gains that are proven, {count:,} data sets"
    family = [name for name in SEVEN if not name.startswith("greedy")]
    for shared in (0.9,) if quick else (0.98, 0.9, 0.75, 0.5, 0.2):
        random, source = np.random.default_rng(8), problem([1.5] * 2, limit=1.5 / shared**0.5, classes=3)
        alone, beside = [], []
        for seed in range(count):
            predictions = source.draw(ROWS, random)
            alone.append(score_all(rules(["soft_voting"]), predictions, seed=seed))
            beside.append(score_all({**rules(family), **singles(predictions, 2)}, predictions, seed=seed))
        for metric in ("accuracy", "log_loss"):
            gains = [found["soft_voting"][1].gain[metric] for found in alone]
            values = np.array([each.value for each in gains])
            size = values.mean() / values.std(ddof=1)
            work = f"{metric}, {size:.1f} standard errors"
            yield share(question, f"{work}, oracle", values > 1.96 * values.std(ddof=1))
            yield share(question, f"{work}, 1 method", [each.proven for each in gains])
            proven = [found["soft_voting"][1].gain[metric].proven for found in beside]
            yield share(question, f"{work}, 7 methods", proven)


def fixed_accuracy(count: int) -> Iterable[Row]:
    """Yield claims about the accuracy of two fixed predictions of 500 rows, with few rows that differ."""
    question = f"claims about two fixed predictions, 500 rows, {count:,} data sets"
    for truth, odds in (("equal", 0.5), ("3 to 1", 0.75)):
        for differ in (0.01, 0.04, 0.1):
            random = np.random.default_rng((9, int(100 * differ)))
            discordant = random.binomial(500, differ, count)
            better = random.binomial(discordant, odds)
            pairs = list(zip(better.tolist(), (discordant - better).tolist(), strict=True))
            work = f"accuracy, {truth}, {100 * differ:g}% of the rows differ"
            for program, test in {"committee": _ours, **_mcnemar_tests()}.items():
                most = 2.5 if truth == "equal" else None
                yield share(question, f"{work}, {program}", [test(*pair) for pair in pairs], most)


@cache
def _ours(better: int, worse: int) -> bool:
    """Return whether the gain is proven if so many of 500 rows are right in one prediction only."""
    row = np.arange(500)
    labels = np.zeros(500, np.int64)
    wrong = [row >= 450, (row >= 450) | (row < better)]
    wrong[0] = wrong[0] | ((row >= better) & (row < better + worse))
    first, second = (
        np.log(np.where(each[:, None], [0.1, 0.9], [0.9, 0.1])).astype(np.float32) for each in wrong
    )
    return gain(first, second, labels, metric="accuracy").proven


def _mcnemar_tests() -> dict[str, Callable[[int, int], bool]]:
    if not installed("mlxtend"):
        return {}
    from mlxtend.evaluate import mcnemar

    @cache
    def test(better: int, worse: int, exact: bool) -> bool:
        found = mcnemar(np.array([[450, better], [worse, 50]]), exact=exact) if better + worse else (0, 1)
        return bool(better > worse and found[1] < 0.05)

    return {
        "mcnemar exact": lambda better, worse: test(better, worse, True),
        "mcnemar chi-square": lambda better, worse: test(better, worse, False),
    }


def fixed_log_loss(count: int) -> Iterable[Row]:
    """Yield claims about the log-loss of two fixed predictions of 100 rows."""
    question = f"claims about two fixed predictions, 100 rows, {count:,} data sets"
    for truth, signal in (("equal", 1.5), ("better", 1.9)):
        random = np.random.default_rng(10)
        source = problem([signal, 1.5], limit=2.2, classes=3)
        found: dict[str, list[bool]] = {"committee": [], "permutation_test": []}
        for seed in range(count):
            predictions = source.draw(100, random)
            labels = predictions.require_labels("benchmark")
            first, second = log_softmax(predictions.logits, axis=2)
            found["committee"].append(gain(first, second, labels).proven)
            if installed("mlxtend"):
                found["permutation_test"].append(_permuted(first, second, labels, seed))
        for program, proven in found.items():
            if proven:
                yield share(
                    question, f"log_loss, {truth}, {program}", proven, 2.5 if truth == "equal" else None
                )


def _permuted(
    first: NDArray[np.float32], second: NDArray[np.float32], labels: NDArray[np.int64], seed: int
) -> bool:
    from mlxtend.evaluate import permutation_test

    gains = [each[np.arange(len(labels)), labels].astype(float) for each in (first, second)]
    found = permutation_test(*gains, method="approximate", num_rounds=500, seed=seed, paired=True)
    return bool(found < 0.05 and gains[0].mean() > gains[1].mean())


def measure(quick: bool) -> list[Row]:
    """Return the shares of claims without and with a true gain."""
    found = [*false_claims(2 if quick else FALSE, quick), *power(2 if quick else TRUE, quick)]
    found += [*fixed_accuracy(30 if quick else 2000), *fixed_log_loss(5 if quick else 300)]
    if not installed("mlxtend"):
        found.append(absent("claims about two fixed predictions", "all", "mlxtend", None, "mlxtend"))
    return found


if __name__ == "__main__":
    main(measure, packages=("mlxtend",))
