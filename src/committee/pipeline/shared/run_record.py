"""Records of the runs of a store: recipe, versions, times and scores, for reports and to run them again."""

from __future__ import annotations

import functools
import logging
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from committee._version import __version__
from committee.errors import StoreError, UnknownNameError, nearest
from committee.pipeline.shared.records import stored_metrics
from committee.pipeline.shared.reports import Report, read_reports
from committee.recipe.model import Recipe
from committee.store.commit import write_json
from committee.store.layout import Store
from committee.store.manifest import NAME, Manifest, digest, read_manifest
from committee.untrusted.documents import build, read_json

log = logging.getLogger(__name__)

PACKAGES = ("torch", "torchvision", "timm", "numpy", "scipy", "scikit-learn", "onnxruntime")
MOST = 20
"""Runs whose records are kept, the newest."""
PREVIOUS = "previous"
"""Word for the run before the last one, in place of its name."""
_KEPT = ("name", "kind", "inference", "rows", "of", "backbone", "size_mb")
_FIELDS = ("finished", "command", "recipe", "versions", "seconds", "models", "state")


@dataclass(frozen=True)
class RunRecord:
    """What a run left in its store, as it was when the run ended.

    Attributes
    ----------
    name : str
        Time to the microsecond, which names the file: records of one second keep their order.
    finished : str
        Time, in UTC.
    command : str
        The verb of the command line: `run`, or that of a stage.
    recipe : dict
        The keys with other values than the defaults: a recipe for the same run.
    versions : dict of str to str
        Versions of packages.
    seconds : dict of str to float
        Duration of each stage.
    models : dict of str to dict
        Model -> its cross-fitted scores and costs, as in `metrics.json`, and `source`, the digest of its
        networks.
    state : str
        Digest of all reports; runs with the same digest left the same results.
    """

    name: str
    finished: str
    command: str
    recipe: Mapping[str, Any]
    versions: Mapping[str, str]
    seconds: Mapping[str, float]
    models: Mapping[str, Report]
    state: str


def write_run(
    recipe: Recipe,
    store: Store,
    seconds: Mapping[str, float],
    command: str = "run",
    time_limit: Mapping[str, Any] | None = None,
) -> None:
    """Write the record of a run, if it has changed an evaluated model.

    Of `committee run`, `metrics/run.json` is written in any case, replacing that of an earlier run. The
    newest `MOST` records are kept.

    Parameters
    ----------
    recipe : Recipe
    store : Store
        Held by this process.
    seconds : mapping of str to float
        Duration of each stage.
    command : str
        The verb of the command line.
    time_limit : mapping, optional
        The limit of the run in `seconds`, those that were `used`, and what is `unfinished`, with reasons.
    """
    now = datetime.now(UTC)
    content = {
        "finished": now.isoformat(timespec="seconds"),
        "recipe": recipe.model_dump(mode="json", by_alias=True, exclude_defaults=True),
        "versions": _versions(),
        "seconds": {stage: round(time, 3) for stage, time in seconds.items()},
    }
    if command == "run":
        limit = {} if time_limit is None else {"time_limit": time_limit}
        write_json(store.run_report(), {**content, "members": len(store.members()), **limit})
    state, earlier = _state(store), _files(store)
    if not state or (earlier and _state_of(earlier[0]) == state):
        return
    content |= {"command": command, "state": state, "models": _models(store)}
    write_json(store.run_records() / f"{now:%Y%m%d-%H%M%S-%f}.json", content)
    for path in _files(store)[MOST:]:
        path.unlink()


def read_run(store: Store) -> dict[str, Any]:
    """Return the record of the last `committee run`; empty if there is none.

    Raises
    ------
    StoreError
        The file is damaged.
    """
    path = store.run_report()
    return read_json(path, "the record of a run") if path.is_file() else {}


def read_runs(store: Store) -> list[RunRecord]:
    """Return the records of the runs that changed evaluated models, newest first; damaged ones are logged."""
    found = []
    for path in _files(store):
        try:
            found.append(_read(path))
        except StoreError as error:
            log.warning("%s", error)
    return found


def find_run(store: Store, name: str) -> RunRecord:
    """Return the record of a run by its name, or the beginning of its name, or `previous`.

    Raises
    ------
    UnknownNameError
        There is no such run, or several names have this beginning.
    """
    runs = read_runs(store)
    names = [each.name for each in runs]
    found = runs[1:2] if name == PREVIOUS else [each for each in runs if each.name.startswith(name)]
    if name and len(found) == 1:
        return found[0]
    raise UnknownNameError(
        f"{store}: run",
        expected=f"one of {', '.join(names) or 'its runs (none is recorded)'}",
        got=f"'{name}'",
        todo=nearest(name, names),
    )


def sources(store: Store) -> dict[str, str]:
    """Return the digest of the networks of each model with a report, as in `RunRecord.models`."""
    return {name: manifest.fingerprint for name, manifest in _manifests(store).items()}


def _manifests(store: Store) -> dict[str, Manifest]:
    folders = {name: stored_metrics(store, name) for name in (*store.members(), *store.ensembles())}
    return {
        name: read_manifest(folder, verify=False)
        for name, folder in folders.items()
        if (folder / NAME).exists()
    }


def _files(store: Store) -> list[Path]:
    return sorted(store.run_records().glob("[!.]*.json"), reverse=True)


def _read(path: Path) -> RunRecord:
    content, what = read_json(path, "the record of a run"), "the record of a run"
    return build(lambda: RunRecord(path.stem, **{key: content[key] for key in _FIELDS}), path, what)


def _state_of(path: Path) -> str:
    try:
        return _read(path).state
    except StoreError:
        return ""


def _state(store: Store) -> str:
    """Return a digest of what all reports were made from, or an empty text without a report."""
    made = {name: manifest.facts.get("made_from") for name, manifest in _manifests(store).items()}
    return digest(made) if made else ""


def _models(store: Store) -> dict[str, Report]:
    """Return the scores of the evaluated models and their costs."""
    of = sources(store)
    return {
        report["name"]: {
            **{key: report[key] for key in _KEPT if key in report},
            "source": of.get(report["name"], ""),
            "latency_ms": {"median": report["latency_ms"]["median"]},
            "cross_fitted": {metric: _rounded(each) for metric, each in report["cross_fitted"].items()},
        }
        for report in read_reports(store)
    }


def _rounded(score: Mapping[str, Any]) -> dict[str, float]:
    return {key: float(f"{score[key]:.6g}") for key in ("value", "low", "high")}


@functools.cache
def _versions() -> dict[str, str]:
    """Return the versions of this package, of Python and of the packages on which results depend."""
    found = {"committee": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
