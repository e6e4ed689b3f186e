"""Coverage and size of prediction sets, compared with MAPIE: n calibration rows, 2,000 new rows, ten classes.

Both get the same probabilities, and MAPIE its default options. With groups, each group of 20 rows has its
own difficulty, and the new rows come from new groups. The brackets are the mean plus and minus one standard
error over the data sets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import numpy as np
from harness import Row, absent, installed, main
from numpy.typing import NDArray
from scipy.special import log_softmax
from simulations.problems import Problem, problem
from simulations.rows import mean
from sklearn.base import BaseEstimator, ClassifierMixin

from committee.metrics.conformal import nonconformity, sets, threshold

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Data = tuple[Floats, Labels]
Rule = Callable[[Data, Data], NDArray[np.bool_]]
CLASSES, NEW = 10, 2000


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
    """Return the sets of new rows."""
    scores = nonconformity(known[0], method)[np.arange(len(known[1])), known[1]]
    return sets(new[0], threshold(scores, coverage), method)


def mapie(known: Data, new: Data, coverage: float, method: str) -> NDArray[np.bool_]:
    """Return the sets of new rows by MAPIE."""
    from mapie.classification import SplitConformalClassifier

    rule = SplitConformalClassifier(
        Stored(), confidence_level=coverage, conformity_score=method, random_state=0
    )
    rule.conformalize(np.exp(known[0]), known[1])
    options = {"include_last_label": True} if method != "lac" else None
    return rule.predict_set(np.exp(new[0]), conformity_score_params=options)[1][:, :, 0]


def drawn(source: Problem, rows: int, random: np.random.Generator) -> Data:
    """Return log-probabilities and labels of new rows."""
    found = source.draw(rows, random)
    return log_softmax(found.logits[0].astype(np.float64), axis=1), found.require_labels("benchmark")


def exchangeable(count: int, quick: bool) -> Iterable[Row]:
    """Yield coverage and size on independent rows."""
    source = problem([2.0], shared=0, classes=CLASSES)
    question = f"prediction sets, {count:,} data sets"
    programs = {"committee": ours} | ({"MAPIE": mapie} if installed("mapie") else {})
    for coverage in (0.9, 0.95):
        for rows in (50,) if quick else (50, 100, 500):
            random = np.random.default_rng((6, rows))
            data = [(drawn(source, rows, random), drawn(source, NEW, random)) for _ in range(count)]
            for method in ("lac", "aps"):
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
            yield from of_rule(question, f"lac, {coverage:g} asked, {groups} groups", data, rule)


def of_groups(groups: int, random: np.random.Generator) -> Data:
    """Return log-probabilities and labels of rows in groups of 20."""
    signal = np.repeat(2 + 0.8 * random.standard_normal(groups), 20)
    labels = random.integers(0, CLASSES, len(signal))
    logits = 2 * random.standard_normal((len(signal), CLASSES))
    logits[np.arange(len(signal)), labels] += 2 * signal
    return log_softmax(logits, axis=1), labels


def of_rule(question: str, work: str, data: Sequence[tuple[Data, Data]], rule: Rule) -> Iterable[Row]:
    """Yield coverage and size of the sets of one rule."""
    held, size = [], []
    for known, new in data:
        inside = rule(known, new)
        held.append(100 * inside[np.arange(NEW), new[1]].mean())
        size.append(inside.sum(axis=1).mean())
    yield mean(f"{question}, coverage", work, held, "%")
    yield mean(f"{question}, mean size", work, size, "classes")


def measure(quick: bool) -> list[Row]:
    """Return coverage and size."""
    return [*exchangeable(10 if quick else 300, quick), *grouped(10 if quick else 500, quick)]


if __name__ == "__main__":
    main(measure, packages=("mapie",))
