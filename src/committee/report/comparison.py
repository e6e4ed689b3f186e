"""Two stores or runs beside each other: models, the difference of the best ones, and of their recipes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from committee.base.text import count
from committee.errors import DataError, UsageError, first_five, printable
from committee.metrics.named import METRICS
from committee.pipeline.shared.rankings import ranking_of
from committee.pipeline.shared.reports import Report
from committee.predictions.checks import find
from committee.report.bars import interval_bar
from committee.report.blocks import Block, Cell, Table, Text
from committee.report.cells import interval_cell, latency, name_of, scale_of
from committee.report.facts import Outputs
from committee.report.page import Part, rendered
from committee.report.sides import Side, side_of
from committee.report.text import score
from committee.scoring.gains import Gain, gain
from committee.store.commit import write_file
from committee.store.layout import Store


def write_comparison(
    first: Store | str | Path, second: Store | str | Path, path: str | Path, metric: str | None = None
) -> Path:
    """Write a page that compares two stores, or two runs.

    Parameters
    ----------
    first, second : Store, str or Path
        Stores with evaluated models of the same task, or `STORE@RUN` for what a run left in a store: the name
        of the run, the beginning of it, or `previous` for the run before the last one.
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
    UnknownNameError
        There is no such run, or no such metric.
    UsageError
        One side has models of classes and the other of numbers.

    See Also
    --------
    committee.report.page.write_report : The report of one store.
    """
    sides = [side_of(first, metric), side_of(second, metric)]
    kinds = [ranking_of(each.reports) for each in sides]
    if kinds[0] != kinds[1]:
        raise UsageError(
            "report",
            expected="two stores whose models have the same metrics",
            got=f"{kinds[0].own} in {sides[0].name}, and {kinds[1].own} in {sides[1].name}",
        )
    parts = [Part("summary", "Summary", [*_summary(*sides)])]
    parts.append(Part("models", "Models", [*_models(sides)]))
    parts.append(Part("made", "How they were made", [*_made(sides)]))
    title = f"{printable(sides[0].name)} and {printable(sides[1].name)}"
    subtitle = f"A comparison, ranked by {sides[0].metric}"
    write_file(Path(path), rendered(title, subtitle, [part for part in parts if part.blocks]).encode())
    return Path(path)


def _summary(first: Side, second: Side) -> Iterator[Block]:
    for each in (first, second):
        yield Text(f"{each.name}: {each.text}", "lead")
    for each in (first, second):
        if each.replaced:
            yield Text(
                f"{count(len(each.replaced), 'model')} of {each.name} "
                f"{'was' if len(each.replaced) == 1 else 'were'} made again or deleted since "
                f"({first_five(each.replaced)}). The predictions of that run are gone: its scores are shown "
                "as the run recorded them, without a paired difference.",
                "note",
            )
    yield from _difference(first, second)


def _difference(first: Side, second: Side) -> Iterator[Block]:
    """Yield the paired differences of the best models on the rows that both predicted."""
    if first.best is None or second.best is None:
        return
    try:
        one, other = _shared(first.best, second.best)
    except DataError as error:
        yield Text(f"The models are not compared in pairs: {error}", "warning")
        return
    metrics = dict.fromkeys([first.metric, ranking_of(first.reports).beside])
    groups = one.rows.groups
    found = [
        gain(other.values, one.values, one.labels, metric=metric, groups=groups, against=first.name)
        for metric in metrics
    ]
    scale = scale_of([_ends(each) for each in found], zero=True)
    rows = [
        [
            each.metric,
            Cell("", each.value, interval_bar(_ends(each), scale, _color(each), zero=True)),
            score(each.metric, _ends(each)),
            Cell(_verdict(each), style="" if each.low <= 0 <= each.high else "proven"),
        ]
        for each in found
    ]
    title = f"{other.name} of {second.name} against {one.name} of {first.name}"
    note = (
        f"Paired differences on {count(len(one.labels), f'{one.split} row')} that both have, with 95% "
        "intervals; right of the dashed line (0), the second is better."
    )
    yield Table(["metric", "difference", "value", "verdict"], rows, title, note)


def _ends(found: Gain) -> dict[str, float]:
    return {"value": found.value, "low": found.low, "high": found.high}


def _color(found: Gain) -> int | None:
    return None if found.low <= 0 <= found.high else 2 if found.low > 0 else 1


def _verdict(found: Gain) -> str:
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


def _models(sides: Sequence[Side]) -> Iterator[Block]:
    """Yield a table of each metric: the models of both sides by name, with their scores in each."""
    reports = [{name_of(report): report for report in each.reports} for each in sides]
    listed = list(dict.fromkeys([*reports[0], *reports[1]]))
    names = [each.name for each in sides]
    for metric in dict.fromkeys([sides[0].metric, ranking_of(sides[0].reports).beside]):
        yield _table(metric, listed, reports, names)


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
    note = "Cross-fitted, with 95% intervals; the rows of two stores are the same only if their data are."
    return Table(columns, rows, metric, note, filtered=len(rows) > 8, numbers=(3, 4))


def _best(pair: list[Mapping[str, float] | None], sign: int) -> float:
    values = [-sign * each["value"] for each in pair if each is not None and each["value"] == each["value"]]
    return min(values, default=float("inf"))


def _made(sides: Sequence[Side]) -> Iterator[Block]:
    """Yield what differs between data, versions and recipes."""
    known = [each.made for each in sides]
    rows = [
        [key, *(printable(str(each.get(key, ""))) for each in known)]
        for key in dict.fromkeys([*known[0], *known[1]])
        if known[0].get(key) != known[1].get(key)
    ]
    if rows:
        yield Table(["", *(each.name for each in sides)], rows, "What differs")
    else:
        yield Text("Data, versions and recipes are the same.")
    if not all(any(key.startswith("recipe: ") for key in each) for each in known):
        yield Text("A recipe is known if a run has changed an evaluated model of the store.", "note")
