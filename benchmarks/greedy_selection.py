"""Greedy selection against AutoGluon's EnsembleSelection: 15 simulated models, 50,000 rows, 100 classes.

Both make 100 rounds without an early stop. AutoGluon is given float32 probabilities; ours, logits, which it
has to read and normalize first. At full size AutoGluon is timed for a few rounds, and told is 100 times the
time of one, for all of its rounds do the same work. That both select the same is checked before: all rounds
on some of the rows and in the few on all of them; by accuracy, where models tie and AutoGluon draws one of
them, its choice must be one of our best. Extra memory is the peak of what Python and numpy hold beyond the
logits. One thread.
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
    """Return members that share what they see of the class, each with noise and confidence of its own."""
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
    """Return our fitted selection; what was found out about the predictions before is forgotten."""
    return GreedySelection(metric=metric, rounds=ROUNDS, patience=ROUNDS).fit(replace(predictions))


def check(predictions: Predictions, probs: Probs, metric: str, rounds: int) -> None:
    """Fail unless each member that AutoGluon adds is one that we could add, or, by log-loss, would."""
    search, everyone = search_for(predictions, metric), np.arange(len(predictions.members))
    for size, pick in enumerate(theirs(predictions, probs, metric, rounds), start=1):
        scores = search.scores(everyone, 1)
        same = pick == scores.argmax() if metric == "log_loss" else scores[pick] == scores.max()
        if not same:
            raise SystemExit(f"{metric}, round {size}: AutoGluon adds {pick}, ours {scores.argmax()}")
        search.move(pick, 1)


def extra_memory(call: Callable[[], Any]) -> float:
    """Return the most memory, in MB, that one call holds beyond what was there."""
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def measure(quick: bool) -> list[Row]:
    """Check, compare and weigh, for each metric."""
    size, few, allows_negative_weights = ((4, 500, 10), 2, 2) if quick else ((15, 50_000, 100), 3, 3)
    predictions = simulated(*size)
    part = predictions.rows(np.arange(size[1] // 25))
    probs, answers = probabilities(predictions), []
    for metric, target in TARGETS.items():
        work = f"{metric}, {size[0]} x {size[1]:,} x {size[2]}, {ROUNDS} rounds, 1 thread"
        if installed("autogluon.core"):
            check(part, probabilities(part), metric, ROUNDS)
            check(predictions, probs, metric, few)
            answers.append(_compare(predictions, probs, metric, few, allows_negative_weights, work, target))
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
    allows_negative_weights: int,
    work: str,
    target: float,
) -> Row:
    own, all_ratios = [], []
    for _ in range(allows_negative_weights):
        own.append(seconds(lambda: ours(predictions, metric)))
        one_round = seconds(lambda: theirs(predictions, probs, metric, few)) / few
        all_ratios.append(one_round * ROUNDS / own[-1])
    note = f"same selections; AutoGluon's time is that of {few} rounds times {ROUNDS / few:.3g}"
    return Row(QUESTION, work, PEER, spread(own)[0], *spread(all_ratios), target, note)


if __name__ == "__main__":
    main(measure, packages=("autogluon.core",))
