"""The results that a comparison has on each side: those of a store as it is, or of one of its runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from committee.errors import StoreError
from committee.images.record import Record
from committee.pipeline.shared.reports import Report, rank
from committee.pipeline.shared.run_record import find_run, read_runs, sources
from committee.report.facts import Facts, Outputs
from committee.report.leaderboard import metric_for
from committee.report.text import costs, score
from committee.store.layout import Store


@dataclass(frozen=True, eq=False)
class Side:
    """The results of a store, or of one of its runs.

    Attributes
    ----------
    name : str
        `STORE` or `STORE@RUN`.
    metric : str
        The metric that ranks the models.
    reports : list of dict
        Scores and costs of the models, best first.
    text : str
        The best model, in words.
    best : Outputs or None
        What it predicts; None if its predictions are not in the store.
    made : dict of str to object
        Data, versions and recipe.
    replaced : list of str
        Models of a run that were made again or deleted since, so that their predictions are gone.
    """

    name: str
    metric: str
    reports: Sequence[Report]
    text: str
    best: Outputs | None
    made: Mapping[str, object]
    replaced: Sequence[str] = ()


def split_address(address: str) -> tuple[str, str]:
    """Return the folder of a store and the name of a run, which is empty for the store as it is.

    Examples
    --------
    >>> from committee.report.sides import split_address
    >>> split_address("work/store@previous"), split_address("work/store")
    (('work/store', 'previous'), ('work/store', ''))
    """
    if Path(address).is_dir() or "@" not in address:
        return address, ""
    folder, _, run = address.rpartition("@")
    return folder, run


def side_of(address: Store | str | Path, metric: str | None = None) -> Side:
    """Return the results of `STORE`, or of `STORE@RUN`.

    Raises
    ------
    StoreError
        The store has no evaluated models.
    UnknownNameError
        There is no such run, or no such metric.
    """
    if isinstance(address, Store):
        return _of_store(address, metric)
    folder, run = split_address(str(address))
    return _of_run(Store(folder), run, metric) if run else _of_store(Store(folder), metric)


def _of_store(store: Store, metric: str | None) -> Side:
    facts = Facts(store, metric)
    found, name = facts.recommendation, str(store)
    text = found.text if found is not None else "no model is evaluated."
    best = facts.curves[0] if facts.curves else None
    last = next((vars(each) for each in read_runs(store) if each.recipe), facts.last_run)
    return Side(name, facts.metric, facts.reports, text, best, _made(facts.record, last))


def _of_run(store: Store, name: str, metric: str | None) -> Side:
    run = find_run(store, name)
    reports = [dict(report) for report in run.models.values()]
    metric = metric_for(metric, reports)
    reports, now = rank(reports, metric), sources(store)
    replaced = [str(each["name"]) for each in reports if now.get(each["name"]) != each["source"]]
    facts = _facts(store, metric)
    first = reports[0]
    text = f"the best model was {first['name']}: {metric} {score(metric, first['cross_fitted'].get(metric))} "
    text += f"cross-fitted, {costs(first)}."
    best = None if facts is None or first["name"] in replaced else facts.outputs(str(first["name"]))
    made = _made(None if facts is None else facts.record, vars(run))
    return Side(f"{store}@{run.name}", metric, reports, text, best, made, replaced)


def _facts(store: Store, metric: str) -> Facts | None:
    """Return what the store knows; None if no model is evaluated any more."""
    try:
        return Facts(store, metric)
    except StoreError:
        return None


def _made(record: Record | None, run: Mapping[str, Any]) -> dict[str, object]:
    found: dict[str, object] = {}
    if record is not None:
        found |= {"data set": record.name, "fingerprint": record.fingerprint, "images": len(record.ids)}
    if "finished" in run:
        found |= {"finished": run["finished"], "command": f"committee {run.get('command', 'run')}"}
    found |= {f"version of {name}": value for name, value in run.get("versions", {}).items()}
    _flatten(run.get("recipe", {}), "recipe: ", found)
    return found


def _flatten(value: Any, prefix: str, found: dict[str, object]) -> None:
    if not isinstance(value, Mapping):
        found[prefix] = value
        return
    for key, inner in value.items():
        _flatten(inner, f"{prefix}{'' if prefix.endswith(' ') else '.'}{key}", found)
