"""Pruning 60 members on 50,000 rows of 10 classes, with a cross-validated path and choice.

Each method computes its path six times: on all rows, and without each of five folds. One thread. Extra
memory is the peak of what Python and numpy allocate in addition to the logits.
"""

from __future__ import annotations

from dataclasses import replace

from greedy_selection import extra_memory, simulated
from harness import Row, main, seconds, spread

from committee.combiners.pruned import Pruned
from committee.pruning.base import PRUNERS

QUESTION, MEMORY, MOST_SECONDS = "pruning", "pruning, extra memory", 10


def measure(quick: bool) -> list[Row]:
    """Measure time and memory of a fit by each method."""
    members, rows, rounds = (6, 400, 1) if quick else (60, 50_000, 3)
    predictions = simulated(members, rows, 10)
    costs = {
        name: {"latency_ms": 1.0 + k % 7, "size_mb": 2.0 + k % 5}
        for k, name in enumerate(predictions.members)
    }
    answers = []
    for method in PRUNERS.names():
        rule = Pruned(method, costs=costs, max_latency_ms=30)

        def fit(rule: Pruned = rule) -> Pruned:
            return rule.clone().fit(replace(predictions))

        size = fit().notes()["chosen"]["size"]
        times = [seconds(fit) for _ in range(rounds)]
        work = f"{method}, {members} x {rows:,} x 10, log-loss, 1 thread"
        middle, low, high = spread(times)
        note = f"{size} members kept within 30 ms"
        answers.append(Row(QUESTION, work, "", middle, low=low, high=high, target=MOST_SECONDS, note=note))
        answers.append(Row(MEMORY, work, "", extra_memory(fit), unit="MB"))
    return answers


if __name__ == "__main__":
    main(measure)
