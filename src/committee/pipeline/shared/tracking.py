"""Tracking of runs: which trackers record a run, and the results that they get at its end."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from committee._version import __version__
from committee.errors import CommitteeError, StoreError
from committee.images.record import load_record
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.package import single_files
from committee.pipeline.shared.rankings import ranking_of
from committee.pipeline.shared.records import METRICS, stored_metrics
from committee.pipeline.shared.reports import Report, rank, read_reports
from committee.recipe.model import Recipe
from committee.recipe.tracking import Tracking
from committee.store.layout import Store
from committee.trackers.base import TRACKERS, Results, Run, Tracker, why_missing
from committee.trackers.shared.record import Record

log = logging.getLogger(__name__)

VERSIONS = ("torch", "torchvision", "timm", "numpy", "scikit-learn")
RECORDS = ("README.md", "metadata.json", "export_status.json", "checksums.json")
"""Files of a package that are recorded; exported files are larger."""


@contextlib.contextmanager
def tracked(recipe: Recipe, store: Store, outcome: Outcome) -> Iterator[None]:
    """Record what the block does with the trackers of the recipe; a tracker that fails is in the outcome.

    Parameters
    ----------
    recipe : Recipe
        Its key `tracking` names the trackers; without it, the variable MLFLOW_TRACKING_URI.
    store : Store
    outcome : Outcome
        It gets `tracking (NAME)` in `failed` for each tracker that fails.
    """
    wanted = _wanted(recipe)
    if not wanted:
        yield
        return
    number = time.strftime("%Y%m%d-%H%M%S")
    folder, count = store.root / "tracking", 1
    while any(folder.glob(f"*/{number}")):
        number, count = f"{number.partition('_')[0]}_{count}", count + 1
    record = Record(wanted, lambda name: _run(recipe, store, number, folder / name), folder)
    status = "killed"
    try:
        with record.listening():
            yield
        status = "finished"
    except Exception:
        status = "failed"
        raise
    finally:
        if store.root.is_dir():
            record.close(_results(store, outcome) if status == "finished" else Results(), status)
        for name, error in record.failed.items():
            outcome.fail(f"tracking ({name})", error)


def _wanted(recipe: Recipe) -> dict[str, Tracker]:
    """Return the trackers of a recipe by name."""
    if recipe.tracking is not None:
        named: dict[str, Tracking] = {}
        for each in recipe.tracking:
            label = f"{each.name}_{len(named)}" if each.name in named else str(each.name)
            named[label] = each
        return {label: TRACKERS.make(str(each.name), **each.options) for label, each in named.items()}
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        return {}
    missing = why_missing(TRACKERS.load("mlflow"))
    if missing is not None:  # the variable may be set for other programs
        log.warning("MLFLOW_TRACKING_URI is set, but nothing is tracked: %s", missing)
        return {}
    return {"mlflow": TRACKERS.make("mlflow")}


def _run(recipe: Recipe, store: Store, number: str, folder: Path) -> Run:
    record = load_record(store)
    facts = {
        "seed": recipe.seed,
        "device": recipe.device,
        "data": "" if record is None else record.fingerprint,
        "versions": {"committee": __version__, **{name: metadata.version(name) for name in VERSIONS}},
    }
    return Run(number, recipe.project.name, folder, facts, recipe.model_dump(mode="json"))


def _results(store: Store, outcome: Outcome) -> Results:
    """Return what a store has at the end of a run; a damaged file in it is in the outcome."""
    try:
        return _found(store)
    except CommitteeError as error:
        outcome.fail("tracking (results)", error)
        return Results()


def _found(store: Store) -> Results:
    reports = read_reports(store)
    ranked = rank(reports, ranking_of(reports).default) if reports else []
    files = {f"metrics/{each['name']}.json": stored_metrics(store, each["name"]) / METRICS for each in ranked}
    packages = sorted((store.root / "deploy").glob("[!.]*"))
    files |= {f"packages/{each.name}/{name}": each / name for each in packages for name in RECORDS}
    files |= {"ensemble_catalog.json": store.catalog, "run.json": store.run_report()}
    order = dict.fromkeys([*(each["name"] for each in ranked), *(each.name for each in packages)])
    exported = {name: file for name in order if (file := _exported(store, name)) is not None}
    return Results(
        [_row(each) for each in ranked],
        {name: path for name, path in files.items() if path.is_file()},
        exported,
    )


def _exported(store: Store, name: str) -> Path | None:
    """Return the exported file of a model, ONNX if there is one; None without a file that runs no code."""
    from committee.exporters.base import EXPORTERS, format_of

    try:
        files = single_files(store.deploy(name))
    except StoreError:
        return None
    safe = [each for each in files if not EXPORTERS.load(str(format_of(each))).runs_code]
    return next((each for each in safe if each.suffix == ".onnx"), next(iter(safe), None))


def _row(report: Report) -> dict[str, Any]:
    """Return the row of a model in the leaderboard."""
    row: dict[str, Any] = {"name": report["name"], "kind": report.get("kind", "member")}
    for part, name in (("cross_fitted", "cross_fitted"), ("metrics", "test")):
        for metric, score in report.get(part, {}).items():
            row[f"{name}.{metric}"] = score["value"]
            row |= {f"{name}.{metric}.{limit}": score[limit] for limit in ("low", "high")}
    return {**row, "latency_ms": report["latency_ms"]["median"], "size_mb": report["size_mb"]}
