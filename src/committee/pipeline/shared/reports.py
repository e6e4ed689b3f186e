"""The `metrics.json` reports of a store: read, checked and ranked."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.errors import StoreError
from committee.metrics.named import METRICS as KNOWN
from committee.pipeline.shared.draws import DRAWS, as_family, read_draws
from committee.pipeline.shared.records import METRICS, failures, model_source, stored_metrics
from committee.scoring.draws import Draws
from committee.store.layout import Store
from committee.store.manifest import NAME, read_manifest, read_whole
from committee.untrusted.documents import build, read_json

log = logging.getLogger(__name__)

Report = dict[str, Any]
_EVALUATE = "Run: committee evaluate"
DEFAULT_METRIC = "log_loss"
"""The metric that ranks models by default."""


def read_reports(store: Store, only: str = "") -> list[Report]:
    """Return the reports of the evaluated models of a store, or of the model `only`.

    Damaged reports, and reports of models that have changed since, are logged and excluded. Members whose
    last training failed are excluded too. The limits of gains hold for all models of the store together.
    """
    failed = {entry["name"] for entry in failures(store)}
    names = dict.fromkeys([*(name for name in store.members() if name not in failed), *store.ensembles()])
    found: list[tuple[Report, Draws | None]] = []
    for name in names:
        folder = stored_metrics(store, name)
        if not (folder / NAME).exists() and not (folder / METRICS).exists():
            continue
        try:
            read = read_whole(folder, _read)
            current = read_manifest(folder, verify=False).fingerprint == model_source(store, name)
        except StoreError as error:
            log.warning("%s is excluded: %s", name, error)
            continue
        if current:
            found.append(read)
        else:
            log.warning("%s has changed since it was evaluated: run committee evaluate", name)
    gains = as_family(
        {report["name"]: (report["gain"], draws) for report, draws in found if draws is not None}
    )
    shown = [report for report, _ in found if only in ("", report["name"])]
    return [{**report, "gain": gains.get(report["name"], {})} for report in shown]


def score_draws(store: Store, reports: Sequence[Report], metric: str) -> dict[str, NDArray[np.float32]]:
    """Return the draws `[R]` of the cross-fitted metric of the reports that have draws, by name.

    Draws of models with the same rows are paired, and have a sign such that larger is better.
    """
    result = {}
    for report in reports:
        name = report["name"]
        folder = stored_metrics(store, name)
        if report["gain"] and (folder / DRAWS).is_file():
            draws = read_draws(folder, report["gain"], _EVALUATE).scores_of(metric)
            if draws is not None:
                result[name] = draws
    return result


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


def _read(folder: Path) -> tuple[Report, Draws | None]:
    report = read_json(folder / METRICS, "a report", _EVALUATE)
    report = build(lambda: _checked(report, folder.name), folder / METRICS, "a report", _EVALUATE)
    return report, read_draws(folder, report["gain"], _EVALUATE) if report["gain"] else None


def _checked(report: Report, name: str) -> Report:
    """Return a report, or raise if a value that the leaderboard shows is missing or has another type."""
    if report["name"] != name:
        raise ValueError("the name of another model")
    scores, gains = [*report["cross_fitted"].values(), *report["metrics"].values()], report["gain"].values()
    numbers = [report["latency_ms"]["median"], report["size_mb"]]
    numbers += [score[key] for score in scores for key in ("value", "low", "high")]
    numbers += [gain[key] for gain in gains for key in ("value", "standard_error", "critical", "units")]
    texts = [report["inference"], *(gain[key] for gain in gains for key in ("metric", "against"))]
    if not all(_is_number(each) for each in numbers) or not all(isinstance(each, str) for each in texts):
        raise TypeError("a value of another type")
    return report


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)
