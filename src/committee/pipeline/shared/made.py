"""Summaries of the ensembles and members that a stage made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from committee.pipeline.shared.draws import as_family, read_draws
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.records import REBUILD, ensemble_facts, member_facts, provenance
from committee.pipeline.shared.summary import Summary, Table, interval
from committee.store.layout import Store
from committee.tasks.base import TASKS


def made(outcome: Outcome, store: Store) -> Summary:
    """Return a summary of the ensembles of an outcome, with scores and gains, and of its members."""
    ensembles = store.ensembles()
    records = _as_family([ensemble_facts(store, name) for name in outcome.done if name in ensembles], store)
    members = {name: provenance(store, name) for name in outcome.done if name not in ensembles}
    blocks = []
    if members:
        rows = [
            [name, ", ".join(member_facts(store, name).get("of", [])), about.get("summary", "")]
            for name, about in members.items()
        ]
        blocks.append(Table("Members", ["name", "of", "summary"], rows))
    if records:
        metrics = shown(records[0]["scores"]["cross_fitted"])
        titles = [f"{metric.replace('log_loss', 'log-loss')}, cross-fitted" for metric in metrics]
        columns = ["name", "members", *titles, "gain"]
        blocks.append(Table("Ensembles", columns, [_row(record, metrics) for record in records]))
    return Summary({"ensembles": records, "members": members}, blocks)


def _as_family(records: Sequence[dict[str, Any]], store: Store) -> list[dict[str, Any]]:
    """Return records whose gains have limits that hold for all of these ensembles together."""
    known = {record["name"]: record["scores"]["gain"] for record in records}
    gains = as_family(
        {name: (gain, read_draws(store.ensemble(name), gain, REBUILD)) for name, gain in known.items()}
    )
    return [{**each, "scores": {**each["scores"], "gain": gains[each["name"]]}} for each in records]


def shown(scores: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the two metrics of scores that tables show: the first one decides."""
    tasks = map(TASKS.make, TASKS.names())
    return next(task.judged[:2] for task in tasks if task.judged[0] in scores)


def _row(record: Mapping[str, Any], metrics: Sequence[str]) -> list[object]:
    scores = record["scores"]
    cross_fitted = [interval(scores["cross_fitted"][metric]) for metric in metrics]
    return [record["name"], len(record["members"]), *cross_fitted, scores["gain"][metrics[0]]["text"]]
