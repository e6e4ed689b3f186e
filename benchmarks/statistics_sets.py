"""Coverage and size of prediction sets, compared with MAPIE: n calibration rows, 2,000 new rows, ten classes.

Both get the same probabilities, and MAPIE its default options; its `raps` takes 20% of the rows to choose the
penalty, and needs two rows of each class. With groups, each group of 20 rows has its own difficulty, and the
new rows come from new groups. The brackets are the mean plus and minus one standard error over the data sets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from harness import Row, absent, installed, main
from numpy.typing import NDArray
from scipy.special import log_softmax
from simulations.problems import Problem, problem
from simulations.rows import mean
from sklearn.base import BaseEstimator, ClassifierMixin

from committee.metrics.conformal import sets
from committee.metrics.set_table import SetTable

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
CLASSES, NEW = 10, 2000


@dataclass(frozen=True)
class Data:
    """Log-probabilities `[N, C]`, labels `[N]`, and groups `[N]` if rows have any."""

    log_probs: Floats
    labels: Labels
    groups: Labels | None = None


Rule = Callable[[Data, Data], NDArray[np.bool_]]


class Stored(ClassifierMixin, BaseEstimator):
    """A fitted classifier whose inputs are the probabilities themselves."""

    classes_ = np.arange(CLASSES)

    def predict_proba(self, probs: Floats) -> Floats:
        """Return the probabilities."""
        return probs

    def predict(self, probs: Floats) -> Labels:
        """Return the most probable classes."""
        return probs.argmax(axis=1)

    def __sklearn_is_fitted__(self) -> bool:
        return True


def ours(known: Data, new: Data, coverage: float, method: str) -> NDArray[np.bool_]:
    """Return the sets of new rows, from the table that a model is stored with."""
    table = SetTable.of(known.log_probs, known.labels, rows="val", approximate=False, groups=known.groups)
    return sets(new.log_probs, table.limit(coverage, method), method)


def mapie(known: Data, new: Data, coverage: float, method: str) -> NDArray[np.bool_]:
    """Return the sets of new rows by MAPIE."""
    from mapie.classification import SplitConformalClassifier

    rule = SplitConformalClassifier(
        Stored(), confidence_level=coverage, conformity_score=method, random_state=0
    )
    rule.conformalize(np.exp(known.log_probs), known.labels)
    options = {"include_last_label": True} if method != "lac" else None
    return rule.predict_set(np.exp(new.log_probs), conformity_score_params=options)[1][:, :, 0]


def drawn(source: Problem, rows: int, random: np.random.Generator) -> Data:
    """Return log-probabilities and labels of new rows."""
    found = source.draw(rows, random)
    return Data(log_softmax(found.logits[0].astype(np.float64), axis=1), found.require_labels("benchmark"))


def exchangeable(count: int, quick: bool) -> Iterable[Row]:
    """Yield coverage and size on independent rows."""
    source = problem([2.0], classes=CLASSES)
    question = f"prediction sets, {count:,} data sets"
    programs = {"committee": ours} | ({"MAPIE": mapie} if installed("mapie") else {})
    for coverage in (0.9, 0.95):
        for rows in (50,) if quick else (50, 100, 500):
            random = np.random.default_rng((6, rows))
            data = [(drawn(source, rows, random), drawn(source, NEW, random)) for _ in range(count)]
            for method in ("lac", "aps", "raps")[: 3 if rows >= 500 else 2]:
                for program, rule in programs.items():
                    work = f"{method}, {coverage:g} asked, n = {rows}, {program}"
                    asked = partial(rule, coverage=coverage, method=method)
                    yield from of_rule(question, work, data, asked)
    if not installed("mapie"):
        yield absent(question, "all", "MAPIE", None, "mapie")


def grouped(count: int, quick: bool) -> Iterable[Row]:
    """Yield coverage and size with groups of 20 rows of uneven difficulty."""
    question = f"prediction sets with groups, {count:,} data sets"
    for groups in (5,) if quick else (5, 10, 20, 50):
        random = np.random.default_rng((7, groups))
        data = [(of_groups(groups, random), of_groups(NEW // 20, random)) for _ in range(count)]
        for coverage in (0.9, 0.95):
            rule = partial(ours, coverage=coverage, method="lac")
            yield from of_rule(question, f"lac, {coverage:g} asked, {groups} groups, committee", data, rule)


def of_groups(groups: int, random: np.random.Generator) -> Data:
    """Return log-probabilities and labels of rows in groups of 20."""
    signal = np.repeat(2 + 0.8 * random.standard_normal(groups), 20)
    labels = random.integers(0, CLASSES, len(signal))
    logits = 2 * random.standard_normal((len(signal), CLASSES))
    logits[np.arange(len(signal)), labels] += 2 * signal
    return Data(log_softmax(logits, axis=1), labels, np.arange(len(labels)) // 20)


def of_rule(question: str, work: str, data: Sequence[tuple[Data, Data]], rule: Rule) -> Iterable[Row]:
    """Yield coverage and size of the sets of one rule."""
    held, size = [], []
    for known, new in data:
        inside = rule(known, new)
        held.append(100 * _held(inside, new).mean())
        size.append(inside.sum(axis=1).mean())
    yield mean(question, f"{work} coverage", held, "%")
    yield mean(question, f"{work} size", size, "classes")


def by_class(count: int) -> Iterable[Row]:
    """Yield the coverage of all rows and of the rarest class, which is also the most difficult."""
    prior = [0.2, 0.2, 0.15, 0.1, 0.1, 0.07, 0.06, 0.05, 0.04, 0.03]
    source = problem([[2.0] * 9 + [1.2]], prior=prior)
    question = f"prediction sets by class, {count:,} data sets"
    for rows in (300, 2000):
        random = np.random.default_rng((12, rows))
        data = [(drawn(source, rows, random), drawn(source, NEW, random)) for _ in range(count)]
        for method in ("lac", "classwise"):
            work = f"{method}, 0.9 asked, n = {rows}"
            rule = partial(ours, coverage=0.9, method=method)
            yield from of_rule(question, f"{work}, all", data, rule)
            rare = [100 * _held(rule(*pair), pair[1])[pair[1].labels == CLASSES - 1].mean() for pair in data]
            yield mean(question, f"{work}, rarest class coverage", rare, "%")


def _held(inside: NDArray[np.bool_], new: Data) -> NDArray[np.bool_]:
    """Return whether each set contains the label."""
    return inside[np.arange(NEW), new.labels]


def measure(quick: bool) -> list[Row]:
    """Return coverage and size."""
    count = 10 if quick else 300
    return [*exchangeable(count, quick), *grouped(count, quick), *by_class(count // 2)]


if __name__ == "__main__":
    main(measure, packages=("mapie",))
