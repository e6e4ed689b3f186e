"""A comparison as a table and sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from committee.metrics.metric import Metric
from committee.pipeline.comparing.words import name_of, short
from committee.pipeline.shared.summary import Table
from committee.tasks.base import TASKS, task_of_model

COSTS = ("name", "ms for 1", "p95", "ms for 32", "p95 ", "spread", "memory MB", "file MB", "training s", "")
UNSTEADY = "~ The rounds of this measurement differ: measure again on an idle machine."


def comparison_table(facts: Mapping[str, Any]) -> list[Table | str]:
    """Return the tables of a comparison, notes, and the recommendation.

    Parameters
    ----------
    facts : mapping
        The content of `metrics/comparison.json`.
    """
    rows = facts["rows"]
    metrics = _shown(rows)
    columns = ["name", "kind", *(name_of(metric.name) for metric in metrics), "networks' worth"]
    scored = f"the test split of {facts['n']} images"
    if facts["split"] != "test":
        scored = "out-of-fold rows (there is no test split)"
    timed = (
        f"\nCosts of the files ({facts['format']}) in {facts['runtime']} on {facts['device']}, for "
        f"{facts['images']}"
    )
    blocks: list[Table | str] = [
        Table(f"Scores on {scored}", columns, [_scores(row, metrics) for row in rows]),
        *_reasons(rows),
        Table(timed, COSTS, [_costs(row) for row in rows]),
    ]
    if any(not each["steady"] for row in rows for each in row["latency_ms"].values()):
        blocks.append(UNSTEADY)
    return [*blocks, *facts["students"], f"\n{facts['text']}"]


def _shown(rows: Sequence[Mapping[str, Any]]) -> list[Metric]:
    """Return the metrics of the table: those of the task whose first one the rows have."""
    tasks = [TASKS.make(name) for name in TASKS.names()]
    named = {name for row in rows for name in row["scores"]}
    task = next((task for task in tasks if task.brief[0] in named), task_of_model(None))
    return [task.metric(name) for name in task.brief]


def _scores(row: Mapping[str, Any], metrics: Sequence[Metric]) -> list[object]:
    scores, worth = row["scores"], row["deep_ensemble_equivalent"]["value"]
    return [
        row["key"],
        row["kind"],
        *(short(metric, scores.get(metric.name), metric is metrics[0]) for metric in metrics),
        "-" if worth is None else f"{worth:.1f}",
    ]


def _reasons(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return why models are not worth a number of networks, with the models of each reason."""
    named: dict[str, list[str]] = {}
    for row in rows:
        named.setdefault(row["deep_ensemble_equivalent"]["note"], []).append(row["key"])
    return [f"- {', '.join(keys)}: {note}." for note, keys in named.items() if note]


def _costs(row: Mapping[str, Any]) -> list[object]:
    latency, memory = row["latency_ms"], row["memory_mb"].get("32")
    return [
        row["key"],
        *(cell for size in ("1", "32") for cell in _timed(latency[size])),
        f"{100 * max(each['spread'] for each in latency.values()):.0f}%",
        None if memory is None else f"{memory:.0f}",
        f"{row['file_mb']:.2f}",
        None if row["training_s"] is None else f"{row['training_s']:.0f}",
        f"over: {', '.join(row['over'])}" if row["over"] else "",
    ]


def _timed(timing: Mapping[str, Any]) -> list[str]:
    return [f"{'' if timing['steady'] else '~'}{timing['median']:.2f}", f"{timing['p95']:.2f}"]
