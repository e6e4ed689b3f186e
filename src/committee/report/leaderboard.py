"""The leaderboard of a store: reports of members and ensembles, best cross-fitted score first."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from committee.base.figures import interval_figure
from committee.base.tables import for_notebook, to_csv, to_frame, to_html, to_markdown
from committee.errors import StoreError, UnknownNameError, nearest
from committee.metrics.named import METRICS as KNOWN
from committee.pipeline.shared.rankings import ranking_of
from committee.pipeline.shared.records import failures
from committee.pipeline.shared.reports import Report, read_reports, value_of
from committee.pipeline.shared.winner import order
from committee.report.text import gain_in_words, has_unit, score, short_interval, than_source
from committee.store.layout import Store

Column = Callable[[Report], str]
_EVALUATE = "Run: committee evaluate"
NAMING = ("name", "kind", "method", "backbone", "inference", "rows")
"""Entries of reports that say what a row of a flat table is about."""


class Leaderboard(list[Report]):
    """The evaluated models of a store, best first, then the members that failed.

    It is a list of the contents of their `metrics.json`; notebooks show it as a table.

    Parameters
    ----------
    reports : iterable of dict
        The reports, in their order.
    metric : str
        The metric that ranks them.

    See Also
    --------
    leaderboard : Returns that of a store.

    Examples
    --------
    >>> from committee.report.leaderboard import Leaderboard
    >>> score = {"value": 0.5, "low": 0.4, "high": 0.6}
    >>> report = {"name": "vit", "kind": "member", "inference": "refit", "cross_fitted": {"log_loss": score}}
    >>> report |= {"metrics": {}, "gain": {}, "latency_ms": {"median": 2.0}, "size_mb": 1.5}
    >>> board = Leaderboard([report], "log_loss")
    >>> board
    Leaderboard(models=1, best='vit', log_loss=0.5)
    >>> print(board.to_markdown())
    | name | networks | log\\_loss cross-fitted | gain over best single member | test log\\_loss | ms | MB |
    | --- | --- | --- | --- | --- | --- | --- |
    | vit | refit | 0.5000 \\[0.400, 0.600\\] |  |  | 2.0 | 1.5 |
    """

    def __init__(self, reports: Iterable[Report], metric: str) -> None:
        super().__init__(reports)
        self.metric = metric

    @property
    def evaluated(self) -> list[Report]:
        """The models without those that failed."""
        return [report for report in self if "failed" not in report]

    def __repr__(self) -> str:
        best = self.evaluated[:1]
        value = value_of(best[0], "cross_fitted", self.metric) if best else None
        shown = f", best={best[0]['name']!r}" if best else ""
        score = f", {self.metric}={value:.4g}" if value is not None else ""
        return f"Leaderboard(models={len(self)}{shown}{score})"

    def _repr_html_(self) -> str:
        """Return the table as HTML, for notebooks."""
        return for_notebook(*table(self.evaluated, self.metric), repr(self))

    def to_html(self, *, wide: bool = False) -> str:
        """Return the table as HTML; names are text in it."""
        return to_html(*table(self.evaluated, self.metric, wide=wide))

    def to_markdown(self, *, wide: bool = False) -> str:
        """Return the table as Markdown; names are text in it."""
        return to_markdown(*table(self.evaluated, self.metric, wide=wide))

    def to_csv(self) -> str:
        """Return all metrics as numbers, in a CSV file in which no spreadsheet runs a name as a formula."""
        columns, rows = flat_table(self)
        return to_csv(columns, rows)

    def to_frame(self) -> Any:
        """Return all metrics as a `pandas.DataFrame` with the columns of `to_csv`.

        Raises
        ------
        DependencyError
            pandas is not installed.
        """
        return to_frame(*flat_table(self), "a leaderboard")

    def plot(self) -> Any:
        """Return a figure of matplotlib: the cross-fitted metric of each model, with its interval.

        Raises
        ------
        DependencyError
            Matplotlib is not installed.
        """
        shown = [report for report in self.evaluated if self.metric in report["cross_fitted"]]
        found = [SimpleNamespace(**report["cross_fitted"][self.metric]) for report in shown]
        names = [str(report["name"]) for report in shown]
        return interval_figure(names, found, f"{self.metric}, cross-fitted", "a plot of a leaderboard")


def flat_table(reports: Sequence[Report]) -> tuple[list[str], list[list[Any]]]:
    """Return columns and rows with all metrics, gains and costs of reports as numbers, one column each.

    The columns `cross_fitted.METRIC`, `test.METRIC` and `gain.METRIC` are followed by those with `.low` and
    `.high`, those of gains also by `.proven`. Failed members have a name and the reason in `failed`.
    """
    rows = [_flat(report) for report in reports]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    return columns, [[row.get(column) for column in columns] for row in rows]


def _flat(report: Report) -> dict[str, Any]:
    row: dict[str, Any] = {key: report[key] for key in NAMING if key in report}
    for part, key in (("cross_fitted", "cross_fitted"), ("test", "metrics"), ("gain", "gain")):
        for metric, found in report.get(key, {}).items():
            row[f"{part}.{metric}"] = found["value"]
            row |= {f"{part}.{metric}.{end}": found[end] for end in ("low", "high", "proven") if end in found}
    if "latency_ms" in report:
        row |= {"latency_ms": report["latency_ms"]["median"], "size_mb": report["size_mb"]}
    return row | ({"failed": report["failed"]} if "failed" in report else {})


def leaderboard(store: Store | str | Path, metric: str | None = None) -> Leaderboard:
    """Return the `metrics.json` of all evaluated models, best cross-fitted first, then the failed members.

    They are ranked by a metric: by default log-loss of classes, root mean squared error of numbers.

    A report that is damaged, or that describes networks that have changed since, is named in the log and left
    out. A cascade comes after the vote of its members unless it is better by more than chance. The entry of a
    failed member has the keys `name`, `kind` and `failed`, the reason, and `unfinished`, which is true if the
    time limit of a run is the reason.

    Raises
    ------
    StoreError
        No model was evaluated, and no member failed.
    UnknownNameError
        There is no such metric.

    Examples
    --------
    >>> import committee
    >>> board = committee.leaderboard("store")  # doctest: +SKIP
    >>> board.to_frame()[["name", "cross_fitted.log_loss"]]  # doctest: +SKIP
    """
    check_metric(metric)
    store = Store.of(store)
    failed = _failed(store)
    reports = read_reports(store)
    metric = metric_for(metric, reports)
    if not reports and not failed:
        todo = _EVALUATE if store.members() else "Train some with: committee run RECIPE"
        raise StoreError(str(store), expected="evaluated models", got="none", todo=todo)
    return Leaderboard([*order(store, reports, metric), *failed], metric)


def _failed(store: Store) -> list[Report]:
    """Return the entries of members that were not trained, by name."""
    return [
        {"kind": "member", "failed": entry["reason"], **{key: entry[key] for key in entry if key != "reason"}}
        for entry in failures(store)
    ]


def report_of(store: Store, name: str) -> Report:
    """Return the `metrics.json` of one model, by full or short name, or the entry of a failed member.

    Raises
    ------
    UnknownNameError
        The store has no such name.
    StoreError
        The model was not evaluated, or has changed since.
    """
    for entry in _failed(store):
        if entry["name"] == name:
            return entry
    name = store.resolve(name)
    for report in read_reports(store, name):
        return report
    raise StoreError(name, expected="an evaluated model", got="none", todo=_EVALUATE)


def metric_for(metric: str | None, reports: Sequence[Report]) -> str:
    """Return the metric that ranks reports: the given one, or the default of their task.

    Raises
    ------
    UnknownNameError
        The task of the reports has no such metric.
    """
    ranking = ranking_of(reports)
    check_metric(metric, ranking.metrics if reports else KNOWN)
    return metric or ranking.default


def check_metric(metric: str | None, known: Iterable[str] = KNOWN) -> None:
    """Raise UnknownNameError unless there is such a metric; None is the default."""
    if metric is not None and metric not in known:
        raise UnknownNameError(
            "--metric",
            expected=f"one of {', '.join(known)}",
            got=f"'{metric}'",
            todo=nearest(metric, list(known)),
        )


def table(
    reports: Sequence[Report], metric: str | None = None, *, wide: bool = False
) -> tuple[list[str], list[list[str]]]:
    """Return the columns and rows of the leaderboard.

    Parameters
    ----------
    reports : sequence of dict
        Reports of evaluated models, in the order of the rows.
    metric : str, optional
        The metric that is shown; by default that of their task.
    wide : bool
        Whether to show the accuracy (of numbers, the R2) beside the metric, all digits, intervals on the
        test split, and whether members started from published weights.
    """
    metric = metric_for(metric, reports)
    columns = _wide(metric, ranking_of(reports).beside) if wide else _narrow(metric)
    return list(columns), [[column(report) for column in columns.values()] for report in reports]


def _narrow(metric: str) -> dict[str, Column]:
    return {
        "name": lambda report: str(report["name"]),
        "networks": lambda report: str(report["inference"]),
        f"{metric} cross-fitted": lambda report: (
            _score(metric, report["cross_fitted"].get(metric)) + _other_rows(report)
        ),
        "gain over best single member": lambda report: _short_gain(report, metric),
        f"test {metric}": lambda report: _test(report, metric) + _seen_test(report),
        "ms": lambda report: f"{report['latency_ms']['median']:.1f}",
        "MB": lambda report: f"{report['size_mb']:.1f}",
    }


def _wide(metric: str, beside: str) -> dict[str, Column]:
    narrow, metrics = _narrow(metric), list(dict.fromkeys([metric, beside]))
    columns = {"name": narrow["name"], "networks": narrow["networks"]}
    columns["start"] = lambda report: report.get("start") or ""
    for each in metrics:
        columns[f"{each} cross-fitted"] = functools.partial(_cross_fitted, metric=each)
    columns[f"{metric} gain over best single member"] = functools.partial(_gain, metric=metric)
    for each in metrics:
        columns[f"test {each}"] = functools.partial(_on_test, metric=each)
    return {**columns, "latency ms": narrow["ms"], "size MB": narrow["MB"]}


def _cross_fitted(report: Report, metric: str) -> str:
    return score(metric, report["cross_fitted"].get(metric)) + _other_rows(report)


def _score(metric: str, found: Any) -> str:
    return score(metric, found) if has_unit(metric) else short_interval(found)


def _on_test(report: Report, metric: str) -> str:
    return score(metric, report["metrics"].get(metric)) + _seen_test(report)


def _test(report: Report, metric: str) -> str:
    value = value_of(report, "metrics", metric)
    return "" if value is None else f"{value:{'.4g' if has_unit(metric) else '.4f'}}"


def _gain(report: Report, metric: str) -> str:
    gain = report.get("gain", {}).get(metric)
    return score(metric, gain) if gain is not None and gain["proven"] else _short_gain(report, metric)


def _short_gain(report: Report, metric: str) -> str:
    """Return the gain in words; an empty text for a single member, which has no gains."""
    if not report.get("gain"):
        return ""
    found = report["gain"].get(metric)
    return f"{gain_in_words(found)} {than_source(report, found)}".strip()


def _other_rows(report: Report) -> str:
    """Return the mark of a score on the val split."""
    return "*" if report.get("rows") == "val" else ""


def _seen_test(report: Report) -> str:
    """Return the mark of a model that may have been trained on test images."""
    return "+" if report.get("seen") else ""
