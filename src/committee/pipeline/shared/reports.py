"""The `metrics.json` reports of a store: read, checked and ranked."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from committee.errors import StoreError
from committee.metrics.classification import METRICS as KNOWN
from committee.pipeline.shared.records import METRICS, failures, model_source
from committee.store.layout import Store
from committee.store.manifest import read_manifest, read_whole
from committee.untrusted.documents import build, read_json

log = logging.getLogger(__name__)

Report = dict[str, Any]
DEFAULT_METRIC = "log_loss"
"""The metric that ranks models by default."""


def read_reports(store: Store, only: str = "") -> list[Report]:
    """Return the reports of the evaluated models of a store, or of the model `only`.

    Damaged reports, and reports of models that have changed since, are logged and excluded. Members whose
    last training failed are excluded too.
    """
    failed = {entry["name"] for entry in failures(store)}
    folders = {name: store.member_metrics(name) for name in store.members() if name not in failed}
    folders |= {name: store.ensemble_metrics(name) for name in store.ensembles()}
    reports = []
    for name, folder in folders.items():
        if only not in ("", name) or not (folder / METRICS).exists():
            continue
        try:
            report = read_whole(folder, _read)
            current = read_manifest(folder, verify=False).fingerprint == model_source(store, name)
        except StoreError as error:
            log.warning("%s is excluded: %s", name, error)
            continue
        if current:
            reports.append(report)
        else:
            log.warning("%s has changed since it was evaluated: run committee evaluate", name)
    return reports


def rank(reports: Sequence[Report], metric: str = DEFAULT_METRIC) -> list[Report]:
    """Return the reports, best cross-fitted `metric` first; those without it come last, by name.

    Where some reports are scored on out-of-fold rows, those scored on the val split follow them, since scores
    on different rows are not comparable.
    """
    folds = any(report.get("rows") == "oof" for report in reports)
    sign = -1 if KNOWN[metric].higher_is_better else 1

    def key(report: Report) -> tuple[bool, bool, float, str]:
        value = value_of(report, "cross_fitted", metric)
        known = value is not None and math.isfinite(value)
        other_rows = folds and report.get("rows") != "oof"
        return not known, other_rows, sign * value if known and value is not None else 0.0, report["name"]

    return sorted(reports, key=key)


def value_of(report: Report, part: str, metric: str) -> float | None:
    """Return one metric of one part (`cross_fitted`, `metrics`) of a report, or None."""
    found = report.get(part, {}).get(metric)
    return None if found is None else found["value"]


def _read(folder: Path) -> Report:
    report = read_json(folder / METRICS, "a report", "Run: committee evaluate")
    return build(
        lambda: _checked(report, folder.name), folder / METRICS, "a report", "Run: committee evaluate"
    )


def _checked(report: Report, name: str) -> Report:
    """Return a report, or raise if a value that the leaderboard shows is missing or has another type."""
    if report["name"] != name:
        raise ValueError("the name of another model")
    scores = [*report["cross_fitted"].values(), *report["metrics"].values()]
    gains = report.get("gain", {}).values()
    scores += [gain for gain in gains if gain["proven"]]
    numbers = [report["latency_ms"]["median"], report["size_mb"]]
    numbers += [score[key] for score in scores for key in ("value", "low", "high")]
    texts = [report["inference"], *(gain["text"] for gain in gains)]
    if not all(_is_number(each) for each in numbers) or not all(isinstance(each, str) for each in texts):
        raise TypeError("a value of another type")
    return report


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)
