"""One table of all that a store has: members and ensembles, best cross-fitted first."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from committee.errors import StoreError, UnknownNameError, nearest
from committee.metrics.classification import METRICS as KNOWN
from committee.pipeline.shared.records import METRICS, failures, model_source
from committee.store.layout import Store
from committee.store.manifest import read_manifest, read_whole
from committee.untrusted.documents import build, read_json

log = logging.getLogger(__name__)

Report = dict[str, Any]
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
    names = {entry["name"] for entry in failed}
    reports = [report for report in _reports(store) if report["name"] not in names]
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
    for report in _reports(store, name):
        return report
    raise StoreError(name, expected="an evaluated model", got="none", todo="Run: committee evaluate")


def _reports(store: Store, only: str = "") -> list[Report]:
    places = [(name, store.member_metrics(name)) for name in store.members()]
    places += [(name, store.ensemble_metrics(name)) for name in store.ensembles()]
    reports = []
    for name, folder in places:
        if only not in ("", name) or not (folder / METRICS).exists():
            continue
        try:
            report = read_whole(folder, _read)
            current = read_manifest(folder, verify=False).fingerprint == model_source(store, name)
        except StoreError as error:
            log.warning("%s is left out: %s", name, error)
            continue
        if current:
            reports.append(report)
        else:
            log.warning("%s has changed since it was evaluated: run committee evaluate", name)
    return reports


def _read(folder: Path) -> Report:
    report = read_json(folder / METRICS, "a report", "Run: committee evaluate")

    def checked() -> Report:
        _row(report, list(KNOWN))
        if report["name"] != folder.name:
            raise ValueError("the name of another model")
        return report

    return build(checked, folder / METRICS, "a report", "Run: committee evaluate")


def rank(reports: Sequence[Report], metric: str = "log_loss") -> list[Report]:
    """Return the reports, best cross-fitted `metric` first; those without it come last, by name.

    Where some have out-of-fold rows, those measured on the val split come after them: they are other rows.
    """
    folds = any(report.get("rows") == "oof" for report in reports)
    sign = -1 if KNOWN[metric].higher_is_better else 1

    def key(report: Report) -> tuple[bool, bool, float, str]:
        value = value_of(report, "cross_fitted", metric)
        known = value is not None and math.isfinite(value)
        apart = folds and report.get("rows") != "oof"
        return not known, apart, sign * value if known and value is not None else 0.0, report["name"]

    return sorted(reports, key=key)


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


def value_of(report: Report, part: str, metric: str) -> float | None:
    """Return one metric of one part (`cross_fitted`, `metrics`) of a report, or None."""
    found = report.get(part, {}).get(metric)
    return None if found is None else found["value"]


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
