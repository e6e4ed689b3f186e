"""Summary of pruning: the path and choice of each method, and the Pareto front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.records import ensemble_facts
from committee.pipeline.shared.summary import Summary, Table, interval
from committee.pruning.shared.front import not_dominated
from committee.store.layout import Store

SHOWN = 4
"""Members that are listed in a cell of a table."""


def pruning_report(outcome: Outcome, store: Store) -> Summary:
    """Return the path and choice of each pruned ensemble of an outcome, and their common Pareto front."""
    records = [ensemble_facts(store, name) for name in outcome.done]
    metric = records[0]["notes"]["metric"] if records else "log_loss"
    front = read_front(store, outcome.done)
    blocks = [block for record in records for block in _path(record)]
    if front:
        columns = ["size", f"{metric} of the fit", "latency ms", "MB", "members"]
        rows = [[len(each["members"]), *_cells(each, "fit"), _shortened(each["members"])] for each in front]
        blocks.append(Table("Pareto front of all evaluated subsets", columns, rows))
    return Summary({"ensembles": records, "front": front}, blocks)


def read_front(store: Store, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the Pareto front of all subsets that pruned ensembles evaluated, cheapest first."""
    notes = [ensemble_facts(store, name)["notes"] for name in names]
    points = [point for each in notes for point in each["front"]]
    # Notes of earlier versions have no direction, and one of three metrics.
    higher = any(each.get("higher_is_better", each["metric"] != "log_loss") for each in notes)
    return not_dominated(points, 1 if higher else -1)


def _path(record: Mapping[str, Any]) -> list[Table | str]:
    notes, scores = record["notes"], record["scores"]
    metric, chosen = notes["metric"], notes["chosen"]
    columns = ["size", f"{metric}, cross-fitted", "of the fit", "latency ms", "MB", "", "members"]
    rows = [
        [each["size"], each[metric], *_cells(each, "fit"), _mark(each, chosen), _shortened(each["members"])]
        for each in notes["path"]
    ]
    shown = metric if metric in scores["gain"] else "log_loss"
    score = interval(scores["cross_fitted"][shown])
    instead = f" in place of {chosen['instead_of']}" if "instead_of" in chosen else ""
    text = (
        f"{record['name']} keeps {', '.join(chosen['members'])}{instead}: {shown} {score} with the "
        f"choice cross-fitted; gain over the best single member: {scores['gain'][shown]['text']}."
    )
    return [Table(str(record["name"]), columns, rows), text]


def _cells(entry: Mapping[str, Any], key: str) -> list[object]:
    return [entry[key], entry.get("latency_ms"), entry.get("size_mb")]


def _mark(entry: Mapping[str, Any], chosen: Mapping[str, Any]) -> str:
    if entry["members"] == chosen["members"]:
        return "kept"
    return "" if entry["meets"] else "over budget"


def _shortened(members: Sequence[str]) -> str:
    more = f" and {len(members) - SHOWN} more" if len(members) > SHOWN else ""
    return ", ".join(members[:SHOWN]) + more
