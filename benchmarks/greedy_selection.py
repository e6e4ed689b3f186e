"""Greedy selection, compared with AutoGluon's EnsembleSelection: 15 models, 50,000 rows, 100 classes.

Both run 100 rounds without early stopping. AutoGluon receives float32 probabilities; `committee` receives
logits, which it has to normalize first. At full size, AutoGluon is timed for a few rounds, and the reported
time is 100 times that of one round, because all of its rounds do the same work. The selections are compared
before: all rounds on a part of the rows, and a few rounds on all of them. By accuracy, models tie and
AutoGluon chooses one of them at random; its choice must be one of the best. Extra memory is the peak of
what Python and numpy allocate in addition to the logits. One thread.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from harness import Row, absent, installed, main, seconds, spread
from numpy.typing import NDArray

from committee.combiners.greedy_selection import GreedySelection
from committee.predictions.table import Predictions
from committee.solvers.search import search_for

QUESTION, MEMORY = "greedy selection", "greedy selection, extra memory"
PEER = "AutoGluon EnsembleSelection"
Probs = list[NDArray[np.float32]]
ROUNDS, TARGETS, MOST_MB = 100, {"log_loss": 1000, "accuracy": 20}, 25


def simulated(members: int, rows: int, classes: int) -> Predictions:
    """Return members with a shared signal of the class, and individual noise and confidence."""
    random = np.random.default_rng(0)
    labels = random.integers(0, classes, rows)
    shared = random.standard_normal((rows, classes), np.float32)
    shared[np.arange(rows), labels] += 3.6
    logits = np.empty((members, rows, classes), np.float32)
    for member, sharpness in enumerate(np.linspace(0.8, 2, members, dtype=np.float32)):
        noise = random.standard_normal((rows, classes), np.float32)
        logits[member] = (shared + np.float32(0.5 + 0.03 * (member % 7)) * noise) * sharpness
    names = [f"member{place:02d}" for place in range(members)]
    return Predictions.from_logits(
        logits, members=names, class_names=[f"class{place}" for place in range(classes)], labels=labels
    )


def probabilities(predictions: Predictions) -> Probs:
    """Return the float32 probabilities of each member."""
    result = []
    for logits in predictions.logits:
        probs = np.exp(logits - logits.max(axis=1, keepdims=True))
        result.append(probs / probs.sum(axis=1, keepdims=True))
    return result


def theirs(predictions: Predictions, probs: Probs, metric: str, rounds: int) -> list[int]:
    """Return the members that AutoGluon selects, in order."""
    from autogluon.core.metrics import get_metric
    from autogluon.core.models.greedy_ensemble.ensemble_selection import EnsembleSelection

    scorer = get_metric(metric, problem_type="multiclass")
    selection = EnsembleSelection(ensemble_size=rounds, problem_type="multiclass", metric=scorer)
    selection.use_best = False
    return selection.fit(probs, predictions.require_labels("benchmark")).indices_


def ours(predictions: Predictions, metric: str) -> GreedySelection:
    """Return a selection fitted on predictions without cached results."""
    return GreedySelection(metric=metric, rounds=ROUNDS, patience=ROUNDS).fit(replace(predictions))


def check(predictions: Predictions, probs: Probs, metric: str, rounds: int) -> None:
    """Fail unless each member that AutoGluon adds has the best score of the round."""
    search, everyone = search_for(predictions, metric), np.arange(len(predictions.members))
    for size, pick in enumerate(theirs(predictions, probs, metric, rounds), start=1):
        scores = search.scores(everyone, 1)
        same = pick == scores.argmax() if metric == "log_loss" else scores[pick] == scores.max()
        if not same:
            raise SystemExit(f"{metric}, round {size}: AutoGluon adds {pick}, ours {scores.argmax()}")
        search.move(pick, 1)


def extra_memory(call: Callable[[], Any]) -> float:
    """Return the peak of the additional memory of one call, in MB."""
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def measure(quick: bool) -> list[Row]:
    """Check the selections, and compare time and memory, for each metric."""
    size, few, repeats = ((4, 500, 10), 2, 2) if quick else ((15, 50_000, 100), 3, 3)
    predictions = simulated(*size)
    part = predictions.rows(np.arange(size[1] // 25))
    probs, answers = probabilities(predictions), []
    for metric, target in TARGETS.items():
        work = f"{metric}, {size[0]} x {size[1]:,} x {size[2]}, {ROUNDS} rounds, 1 thread"
        if installed("autogluon.core"):
            check(part, probabilities(part), metric, ROUNDS)
            check(predictions, probs, metric, few)
            answers.append(_compare(predictions, probs, metric, few, repeats, work, target))
        else:
            answers.append(absent(QUESTION, work, PEER, target, "autogluon.core"))
        memory = extra_memory(lambda metric=metric: ours(predictions, metric))
        answers.append(Row(MEMORY, work, "", memory, target=MOST_MB, unit="MB"))
    return answers


def _compare(
    predictions: Predictions,
    probs: Probs,
    metric: str,
    few: int,
    repeats: int,
    work: str,
    target: float,
) -> Row:
    own, all_ratios = [], []
    for _ in range(repeats):
        own.append(seconds(lambda: ours(predictions, metric)))
        one_round = seconds(lambda: theirs(predictions, probs, metric, few)) / few
        all_ratios.append(one_round * ROUNDS / own[-1])
    note = f"same selections; the time of AutoGluon is that of {few} rounds, times {ROUNDS / few:.3g}"
    return Row(QUESTION, work, PEER, spread(own)[0], *spread(all_ratios), target, note)


if __name__ == "__main__":
    main(measure, packages=("autogluon.core",))
