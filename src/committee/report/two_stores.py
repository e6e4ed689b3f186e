"""Two stores beside each other: models, the difference of the recommended ones, and of their recipes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from committee.base.text import count
from committee.errors import DataError, UsageError, printable
from committee.metrics.named import METRICS
from committee.pipeline.shared.rankings import ranking_of
from committee.pipeline.shared.reports import Report
from committee.predictions.checks import find
from committee.report.blocks import Block, Cell, Table, Text
from committee.report.cells import interval_cell, latency, name_of, scale_of
from committee.report.charts.bars import interval_bar
from committee.report.facts import Facts, Outputs
from committee.report.page import Part, rendered
from committee.report.text import score
from committee.scoring.gains import Gain, gain
from committee.store.commit import write_file
from committee.store.layout import Store

Flat = dict[str, Any]


def write_comparison(
    first: Store | str | Path, second: Store | str | Path, path: str | Path, metric: str | None = None
) -> Path:
    """Write a page that compares two stores.

    Parameters
    ----------
    first, second : Store, str or Path
        Stores with evaluated models of the same task.
    path : str or Path
        The file, which is replaced.
    metric : str, optional
        The metric that ranks the models; by default that of their task.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    StoreError
        A store has no evaluated models.
    UsageError
        Their models predict classes in one store and numbers in the other.

    See Also
    --------
    committee.report.page.write_report : The report of one store.
    """
    stores = [Store.of(first), Store.of(second)]
    facts = [Facts(store, metric) for store in stores]
    names = [store.root.as_posix() for store in stores]
    kinds = [ranking_of(each.reports) for each in facts]
    if kinds[0] != kinds[1]:
        raise UsageError(
            "report",
            expected="two stores whose models have the same metrics",
            got=f"{kinds[0].own} in {names[0]}, and {kinds[1].own} in {names[1]}",
        )
    parts = [Part("summary", "Summary", [*_summary(facts, names)])]
    parts.append(Part("models", "Models", [*_models(facts, names)]))
    parts.append(Part("made", "How they were made", [*_made(facts, names)]))
    title = f"{printable(names[0])} and {printable(names[1])}"
    subtitle = f"Two stores, ranked by {facts[0].metric}"
    write_file(Path(path), rendered(title, subtitle, [part for part in parts if part.blocks]).encode())
    return Path(path)


def _summary(facts: list[Facts], names: list[str]) -> Iterator[Block]:
    for each, name in zip(facts, names, strict=True):
        found = each.recommendation
        yield Text(f"{name}: {found.text if found is not None else 'no model is evaluated.'}", "lead")
    yield from _difference(facts, names)


def _difference(facts: list[Facts], names: list[str]) -> Iterator[Block]:
    """Yield the paired differences of the best models on the rows that both predicted."""
    best = [each.curves[0] if each.curves else None for each in facts]
    if best[0] is None or best[1] is None:
        return
    try:
        one, other = _shared(best[0], best[1])
    except DataError as error:
        yield Text(f"The models are not compared in pairs: {error}", "warning")
        return
    metrics = dict.fromkeys([facts[0].metric, ranking_of(facts[0].reports).beside])
    groups = one.rows.groups
    found = [
        gain(other.values, one.values, one.labels, metric=metric, groups=groups, against=names[0])
        for metric in metrics
    ]
    scale = scale_of([_ends(each) for each in found], zero=True)
    rows = [
        [
            each.metric,
            Cell("", each.value, interval_bar(_ends(each), scale, _color(each), zero=True)),
            score(each.metric, _ends(each)),
            Cell(_verdict(each, one.name, other.name), style="" if each.low <= 0 <= each.high else "proven"),
        ]
        for each in found
    ]
    title = f"{other.name} of {names[1]} against {one.name} of {names[0]}"
    note = (
        f"Paired differences on {count(len(one.labels), f'{one.split} row')} that both stores have, with 95% "
        "intervals; right of the dashed line (0), the second is better."
    )
    yield Table(["metric", "difference", "value", "verdict"], rows, title, note)


def _ends(found: Gain) -> dict[str, float]:
    return {"value": found.value, "low": found.low, "high": found.high}


def _color(found: Gain) -> int | None:
    return None if found.low <= 0 <= found.high else 2 if found.low > 0 else 1


def _verdict(found: Gain, one: str, other: str) -> str:
    if found.low <= 0 <= found.high:
        return "no proven difference"
    return f"the {'second' if found.low > 0 else 'first'} is better"


def _shared(one: Outputs, other: Outputs) -> tuple[Outputs, Outputs]:
    """Return what two models predict for the samples that both have, with the classes of the first.

    Raises
    ------
    DataError
        They have no samples in common, other classes, or other labels.
    """
    rows = other.rows.with_classes(one.rows.class_names, of=f"of {one.name}")
    order = [other.rows.class_names.index(name) for name in one.rows.class_names]
    places, missing = find(other.rows.sample_ids, one.rows.sample_ids)
    mine, theirs = np.flatnonzero(~missing), places[~missing]
    if one.split != other.split or not len(mine):
        raise DataError(
            other.name,
            expected=f"{one.split} rows with the ids of those of {one.name}",
            got=f"{other.split} rows, of which {len(mine)} are the same",
        )
    pair = (
        Outputs(one.name, one.values[mine], one.rows.rows(mine), one.split),
        Outputs(other.name, other.values[theirs][:, order], rows.rows(theirs), other.split),
    )
    if not np.array_equal(pair[0].labels, pair[1].labels):
        raise DataError(other.name, expected=f"the labels of {one.name}", got="others for the same ids")
    return pair


def _models(facts: list[Facts], names: list[str]) -> Iterator[Block]:
    """Yield a table of each metric: the models of both stores by name, with their scores in each."""
    reports = [{name_of(report): report for report in each.reports} for each in facts]
    listed = list(dict.fromkeys([*reports[0], *reports[1]]))
    metric, beside = facts[0].metric, ranking_of(facts[0].reports).beside
    for each in dict.fromkeys([metric, beside]):
        yield _table(each, listed, reports, names)


def _table(metric: str, listed: list[str], reports: list[dict[str, Report]], names: list[str]) -> Table:
    found = [[(of.get(name) or {}).get("cross_fitted", {}).get(metric) for of in reports] for name in listed]
    scale = scale_of([each for pair in found for each in pair])
    sign = METRICS[metric].sign
    order = sorted(range(len(listed)), key=lambda place: _best(found[place], sign))
    rows = [
        [
            listed[place],
            *(interval_cell(each, metric, scale, series) for series, each in enumerate(found[place])),
            *(latency(of[listed[place]]) if listed[place] in of else "" for of in reports),
        ]
        for place in order
    ]
    letters = ("first", "second")
    columns = ["model", *names, *(f"ms, {each}" for each in letters)]
    note = "Cross-fitted, with 95% intervals; the rows of the two stores are the same only if their data are."
    return Table(columns, rows, metric, note, filtered=len(rows) > 8, numbers=(3, 4))


def _best(pair: list[Mapping[str, float] | None], sign: int) -> float:
    values = [-sign * each["value"] for each in pair if each is not None and each["value"] == each["value"]]
    return min(values, default=float("inf"))


def _made(facts: list[Facts], names: list[str]) -> Iterator[Block]:
    """Yield what differs between the data and the last runs."""
    known = [_flat(each) for each in facts]
    keys = list(dict.fromkeys([*known[0], *known[1]]))
    rows = [
        [key, *(printable(str(each.get(key, ""))) for each in known)]
        for key in keys
        if known[0].get(key) != known[1].get(key)
    ]
    if rows:
        yield Table(["", *names], rows, "What differs")
    if not all(each.last_run for each in facts):
        yield Text("Recipes are compared of stores that committee run made.", "note")


def _flat(facts: Facts) -> Flat:
    found: Flat = {}
    if facts.record is not None:
        found |= {"data set": facts.record.name, "fingerprint": facts.record.fingerprint}
        found["images"] = len(facts.record.ids)
    run = facts.last_run
    found |= {f"version of {name}": value for name, value in run.get("versions", {}).items()}
    _flatten(run.get("recipe", {}), "recipe: ", found)
    return found


def _flatten(value: Any, prefix: str, found: Flat) -> None:
    if not isinstance(value, Mapping):
        found[prefix] = value
        return
    for key, inner in value.items():
        _flatten(inner, f"{prefix}{'' if prefix.endswith(' ') else '.'}{key}", found)
