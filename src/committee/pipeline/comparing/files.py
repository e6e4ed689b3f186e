"""The exported files of compared models: written where they are missing, and predicted with where needed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.errors import StoreError, is_installed
from committee.exporters.base import EXPORTERS, TOLERANCE, open_exported
from committee.images.decode import decode
from committee.images.record import load_record, recorded_settings
from committee.images.source import read
from committee.pipeline.shared.for_task import task_of_store
from committee.pipeline.shared.network_files import FORMAT, RUNTIMES, can_run_files
from committee.pipeline.shared.package import STATUS
from committee.pipeline.shared.records import model_source
from committee.predictions.target_types import target_type_of
from committee.store.layout import Store
from committee.untrusted.documents import read_json

ALL = "all"
"""In place of a format: every file of the packages that holds a whole model."""
CHECKPOINT = "checkpoint"
"""The format that torch runs without recording a graph."""
REDO = "Run: committee export --model-name NAME"


@dataclass(frozen=True)
class ModelFile:
    """A file of a model in one format.

    Attributes
    ----------
    package : str
        Name of its folder in the package.
    path : Path
        The file, or the folder of a format that writes a folder.
    is_exact : bool
        Whether its probabilities are those of the model.
    lost : dict or None
        What an inexact file loses on held-out rows, as `committee compress` measured it.
    size_mb : float
    """

    package: str
    path: Path
    is_exact: bool
    lost: Mapping[str, Any] | None
    size_mb: float


def default_format() -> str:
    """Return the format that is compared by default: ONNX, or what torch runs without its packages."""
    return FORMAT if can_run_files() else CHECKPOINT


def model_files(store: Store, name: str, format: str) -> list[ModelFile]:
    """Return the files of a model in one format, or in all, with any options; exact files first.

    Raises
    ------
    StoreError
        The package of the model has no such file.
    """
    folder = store.deploy(name)
    if not (folder / STATUS).is_file():
        entries: Mapping[str, Any] = {}
    else:
        entries = read_json(folder / STATUS, "the status of an export", REDO)["formats"]
    found = [
        _file(store, name, package, entry)
        for package, entry in entries.items()
        if entry["status"] == "done" and _is_compared(entry.get("format", package), format)
    ]
    if not found:
        if reason := entries.get(format, {}).get("reason"):
            raise StoreError(f"{name}: {reason}")
        raise StoreError(name, expected=f"a package in the format '{format}'", got="none", todo=REDO)
    return sorted(found, key=lambda each: (not each.is_exact, each.package))


def _is_compared(its: str, format: str) -> Any:
    return EXPORTERS.constants(its).get("self_contained", True) if format == ALL else its == format


def _file(store: Store, name: str, package: str, entry: Mapping[str, Any]) -> ModelFile:
    path = store.deploy(name) / entry["file"]
    alone = [path, path.with_name(f"{path.name}.data")] if path.is_file() else list(path.rglob("*"))
    size = sum(each.stat().st_size for each in alone if each.is_file())
    is_exact = float(entry["parity"]["max_abs_diff"]) <= TOLERANCE
    is_measured = not is_exact and "method" in entry  # a file that `export` wrote may have the same folder
    return ModelFile(
        package, path, is_exact, _lost(store, name, package) if is_measured else None, size / 1e6
    )


def _lost(store: Store, name: str, package: str) -> Mapping[str, Any] | None:
    """Return what a compressed file loses on the rows on which it was accepted, if that is stored."""
    path = store.compression_report()
    if not path.is_file():
        return None
    model = read_json(path, "a report of compressed files", REDO)["models"].get(name, {})
    found = model.get("files", {}).get(package, {}).get("choosing")
    if found is None or model["source"] != model_source(store, name):
        return None
    task = task_of_store(store)
    keys = [*(f"{metric}_lost" for metric in task.proof), task.guarded]
    return {key: found[key] for key in (keys[:-1] if task.metric(task.guarded).in_points else keys)}


def runtime_of(format: str) -> str:
    """Return the name of the program that runs the files of a format."""
    return {**RUNTIMES, CHECKPOINT: "torch (eager)", ALL: "the runtime of each"}.get(format, format)


def device_for(format: str, wanted: str) -> str:
    """Return the device that runs files: that of the format if there is one, or the wanted one.

    Without onnxruntime for a GPU, it is the CPU; files of all formats have it in common.
    """
    if format == ALL:
        return "cpu"
    only = EXPORTERS.make(format).device
    if only:
        return only
    if format != FORMAT or wanted == "cpu" or not is_installed("onnxruntime"):
        return wanted
    import onnxruntime

    return wanted if f"{wanted.upper()}ExecutionProvider" in onnxruntime.get_available_providers() else "cpu"


def predicted(
    store: Store, file: Path, ids: Sequence[str], channels: int, device: str, trusted: Collection[str]
) -> NDArray[np.float32]:
    """Return the outputs `[N, C]` of a file for images of the store's data set.

    Raises
    ------
    CommitteeError
        The images or the file cannot be read.
    """
    predict = open_exported(file, device, trusted)
    images = _images(store, ids, channels)
    return target_type_of(predict).from_answers(np.concatenate([predict(image[None]) for image in images]))


def _images(store: Store, ids: Sequence[str], channels: int) -> Iterator[NDArray[np.uint8]]:
    samples = read(recorded_settings(load_record(store), None, store))
    place = {name: row for row, name in enumerate(samples.ids)}
    for name in ids:
        yield decode(samples.images[place[name]], channels, name=name)
