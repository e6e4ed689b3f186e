"""Summaries of the ensembles and members that a stage made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from committee.pipeline.shared.draws import as_family, read_draws
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.records import REBUILD, ensemble_facts, member_facts, provenance
from committee.pipeline.shared.summary import Summary, Table, interval
from committee.store.layout import Store


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
        columns = ["name", "members", "log-loss, cross-fitted", "accuracy, cross-fitted", "gain"]
        blocks.append(Table("Ensembles", columns, [_row(record) for record in records]))
    return Summary({"ensembles": records, "members": members}, blocks)


def _as_family(records: Sequence[dict[str, Any]], store: Store) -> list[dict[str, Any]]:
    """Return records whose gains have limits that hold for all of these ensembles together."""
    known = {record["name"]: record["scores"]["gain"] for record in records}
    gains = as_family(
        {name: (gain, read_draws(store.ensemble(name), gain, REBUILD)) for name, gain in known.items()}
    )
    return [{**each, "scores": {**each["scores"], "gain": gains[each["name"]]}} for each in records]


def _row(record: Mapping[str, Any]) -> list[object]:
    scores = record["scores"]
    cross_fitted = [interval(scores["cross_fitted"][metric]) for metric in ("log_loss", "accuracy")]
    return [record["name"], len(record["members"]), *cross_fitted, scores["gain"]["log_loss"]["text"]]
