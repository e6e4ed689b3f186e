"""One table of all that a store has: members and ensembles, best cross-fitted first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from committee.errors import StoreError, UnknownNameError, nearest
from committee.metrics.classification import METRICS as KNOWN
from committee.pipeline.shared.records import failures
from committee.pipeline.shared.reports import Report, rank, read_reports
from committee.store.layout import Store

BESIDE = "accuracy"
"""BatchLoader beside the metric that ranks, since every reader knows it."""


def leaderboard(store: Store, metric: str = "log_loss") -> list[dict[str, Any]]:
    """Return the `metrics.json` of all evaluated models, best cross-fitted first, then the failed members.

    A report that is damaged, or of networks that have changed since, is named in the log and left out.

    Raises
    ------
    StoreError
        Nothing was evaluated, and nothing failed.
    UnknownNameError
        There is no such metric.
    """
    check_metric(metric)
    failed = _failed(store)
    reports = read_reports(store)
    if not reports and not failed:
        raise StoreError(
            str(store.root), expected="evaluated models", got="none", todo="Run: committee evaluate"
        )
    return rank(reports, metric) + failed


def _failed(store: Store) -> list[Report]:
    """Return what stands in the place of the reports of members that could not be trained, by name."""
    return [{"name": entry["name"], "kind": "member", "failed": entry["reason"]} for entry in failures(store)]


def report_of(store: Store, name: str) -> Report:
    """Return the `metrics.json` of one model, by full or short name, or why the member failed.

    Raises
    ------
    UnknownNameError
        The store has no such name.
    StoreError
        It was not evaluated, or has changed since.
    """
    for entry in _failed(store):
        if entry["name"] == name:
            return entry
    name = store.resolve(name)
    for report in read_reports(store, name):
        return report
    raise StoreError(name, expected="an evaluated model", got="none", todo="Run: committee evaluate")


def check_metric(metric: str) -> None:
    """Raise UnknownNameError unless there is such a metric."""
    if metric not in KNOWN:
        raise UnknownNameError(
            "--metric",
            expected=f"one of {', '.join(KNOWN)}",
            got=f"'{metric}'",
            todo=nearest(metric, KNOWN),
        )


def table(reports: Sequence[Report], metric: str = "log_loss") -> tuple[list[str], list[list[str]]]:
    """Return the columns and rows of the leaderboard, in the order of `reports`, which are of no failure."""
    shown = list(dict.fromkeys([metric, BESIDE]))
    columns = [
        "name",
        "networks",
        "start",
        *(f"{each} cross-fitted" for each in shown),
        f"{metric} gain over best single",
        *(f"test {each}" for each in shown),
        "latency ms",
        "size MB",
    ]
    return columns, [_row(report, shown) for report in reports]


def _row(report: Report, shown: Sequence[str]) -> list[str]:
    mark = "*" if report.get("rows") == "val" else ""
    flatter = "+" if report.get("seen") else ""
    return [
        report["name"],
        report["inference"],
        report.get("start") or "",
        *(interval(report["cross_fitted"].get(metric)) + mark for metric in shown),
        _gain(report, shown[0]),
        *(interval(report["metrics"].get(metric)) + flatter for metric in shown),
        f"{report['latency_ms']['median']:.1f}",
        f"{report['size_mb']:.1f}",
    ]


def interval(found: Mapping[str, float] | None) -> str:
    """Return `0.912 [0.895, 0.930]`, or an empty text."""
    return "" if found is None else f"{found['value']:.4f} [{found['low']:.4f}, {found['high']:.4f}]"


def _gain(report: Report, metric: str) -> str:
    found = report.get("gain", {}).get(metric)
    return "" if found is None else interval(found) if found["proven"] else found["text"]
