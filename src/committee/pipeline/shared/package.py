"""Packages: one model in several export formats, each file compared with the model before it is kept."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch import nn

from committee._version import __version__
from committee.combiners.base import is_conditional
from committee.errors import (
    CommitteeError,
    DependencyError,
    DeviceError,
    ExportError,
    StoreError,
    UsageError,
    first_five,
)
from committee.exporters.base import CHECKSUMS, EXPORTERS, METADATA, REDO, Card, Exporter
from committee.images.view import views_by_canvas
from committee.models.moments import has_variance
from committee.models.predictor import Images, ModulePredictor
from committee.pipeline.shared.file_time import file_time
from committee.pipeline.shared.parity import check_parity
from committee.recipe.exports import ExportFormat
from committee.store.commit import commit, remove, write_file, write_json
from committee.store.hashes import hash_file
from committee.store.manifest import NAME, digest, is_done, read_manifest
from committee.untrusted.documents import build, read_json

log = logging.getLogger(__name__)

DENSE = "Every network runs on every image: in this format, skipping networks saves no time."

CALIBRATION_IMAGES = 300
"""Number of images on which the ranges of activations are measured."""

STATUS, CLASSES, README = "export_status.json", "class_mapping.json", "README.md"

Status = dict[str, Any]


def package(
    module: nn.Module,
    card: Card,
    folder: Path,
    formats: Sequence[str | ExportFormat],
    batches: Sequence[Images],
    *,
    fingerprint: str = "",
    calibration: Callable[[], Images] | None = None,
) -> Status:
    """Write a model in several formats, with its class names, its origin and the checksums of all files.

    Parameters
    ----------
    module : torch.nn.Module
        Images uint8 `[B, c, H, W]` -> logits `[B, C]`. It is moved to the CPU and put in evaluation mode.
    card : Card
        Name, class names and origin.
    folder : Path
        Such as `store.deploy(name)`. Each format is written to a folder of its own in it, beside
        `metadata.json`, `class_mapping.json`, `export_status.json` and `checksums.json`.
    formats : sequence of str or ExportFormat
        Keys of the family of exporters, with or without options, such as `onnx:OPTION=VALUE`. A format that
        fails is recorded with the reason, and the others are written.
    batches : sequence of uint8 arrays `[B, c, H, W]`
        Real images of several sizes for the parity check. Graphs are recorded with the first, which has two
        images or more.
    fingerprint : str, optional
        Digest of the model. Formats that were written from a model with the same digest are kept as they are.
    calibration : callable, optional
        Returns the images for formats that quantize; see `Exporter`.

    Returns
    -------
    dict
        The content of `export_status.json`: `name`, `fingerprint`, and by the folder of each format its
        `format`, its `options` and its `status`: `failed`, or `missing` for a package or a device that the
        machine lacks, with the `reason`; or `done` with `file`, `size_mb`, `seconds`, `parity`, `time` of
        a format that is a graph, and possibly a `note`.

    Raises
    ------
    UsageError
        There is no such format or option, or `folder` contains other files.

    See Also
    --------
    committee.pipeline.shared.parity.check_parity : The comparison.
    """
    _check_own(folder)
    before = _previous(folder, fingerprint)
    job = _Job(module, card, folder, batches, fingerprint, calibration)
    status: Status = {"name": card.name, "fingerprint": fingerprint, "formats": dict(before)}
    for each in map(ExportFormat.of, formats):
        facts = {"format": each.format, "options": each.options}
        status["formats"][each.name] = facts | job.run(each, before.get(each.name, {}))
    folder.mkdir(parents=True, exist_ok=True)
    _remove_others(folder, status)
    _write_records(folder, card, job.reference.channels, status)
    return status


def up_to_date(
    folder: Path, formats: Sequence[ExportFormat], fingerprint: str, facts: Mapping[str, Any]
) -> Status | None:
    """Return the status of a package that has all formats of a model intact, or None.

    Parameters
    ----------
    folder : Path
        The package.
    formats : sequence of ExportFormat
    fingerprint : str
        Digest of the model.
    facts : mapping
        Entries of `metadata.json` that have to be the same.
    """
    before = _previous(folder, fingerprint)
    if not all(each.name in before for each in formats):
        return None
    if not all(is_done(folder / each.name, _key(each, fingerprint, before[each.name])) for each in formats):
        return None
    try:
        sums = read_json(folder / CHECKSUMS, "the checksums of a package")
        found = read_json(folder / METADATA, "the description of a package")
        intact = all(sums.get(name) == hash_file(folder / name) for name in (METADATA, CLASSES, STATUS))
    except (StoreError, OSError):
        return None
    same = all(found.get(key) == value for key, value in facts.items())
    complete = intact and same and "channels" in found  # which earlier versions did not write
    return read_json(folder / STATUS, "the status of an export") if complete else None


def format_key(
    fingerprint: str, folder: str, options: Mapping[str, Any], images: int = CALIBRATION_IMAGES
) -> str:
    """Return the digest of all that determines the files in a folder of a package.

    Parameters
    ----------
    fingerprint : str
        Digest of the model.
    folder : str
        Name of the folder, which has the format and the method.
    options : mapping
        Options of the format that are not the defaults.
    images : int
        Number of calibration images.
    """
    return digest([fingerprint, folder, dict(options), images, __version__, str(torch.__version__)])


def _key(its: ExportFormat, fingerprint: str, before: Status) -> str:
    """Return the key of a format; a file that `compress` has measured counts, with its number of images."""
    return format_key(fingerprint, its.name, its.changed, before.get("images", CALIBRATION_IMAGES))


def add_formats(folder: Path, entries: Mapping[str, Status], removed: Collection[str] = ()) -> None:
    """Add folders that another stage wrote to the status and the checksums of a package.

    Parameters
    ----------
    folder : Path
        The package.
    entries : mapping of str to dict
        Name of the folder in the package -> its entry in `export_status.json`, which has `method`, by which
        these folders are told from those of `package`.
    removed : collection of str
        Names of folders that are removed, unless `package` wrote them.
    """
    status = read_json(folder / STATUS, "the status of an export")
    status["formats"] |= entries
    for name in removed:
        if "method" in status["formats"].get(name, {}):
            del status["formats"][name]
    _remove_others(folder, status)
    _write_status(folder, status)


def package_facts(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the contents of the four records of a package, by file name.

    Raises
    ------
    StoreError
        A record is missing or damaged.
    """
    return {
        name: read_json(folder / name, "a record of a package", REDO)
        for name in (METADATA, CLASSES, STATUS, CHECKSUMS)
    }


def write_readme(folder: Path, text: str) -> None:
    """Write the model card of a package, and its checksum, unless both are there."""
    path, sums = folder / README, read_json(folder / CHECKSUMS, "the checksums of a package", REDO)
    content = text.encode()
    if not path.is_file() or path.read_bytes() != content:
        write_file(path, content)
    if sums.get(README) != (found := hash_file(path)):
        write_json(folder / CHECKSUMS, dict(sorted({**sums, README: found}.items())))


def failures(status: Status) -> dict[str, str]:
    """Return the formats of a package that could not be written, each with the reason."""
    entries = status["formats"].items()
    return {name: entry["reason"] for name, entry in entries if entry["status"] != "done"}


def single_files(folder: Path) -> list[Path]:
    """Return the files of a package that predict on their own, by format; an empty list without a package."""
    if not (folder / STATUS).is_file():
        return []
    formats = read_json(folder / STATUS, "the status of an export")["formats"]
    done = {name: EXPORTERS.load(its["format"]) for name, its in formats.items() if its["status"] == "done"}
    return [
        folder / formats[name]["file"]
        for name, kind in sorted(done.items())
        if kind.suffix and kind.self_contained
    ]


class _Job:
    def __init__(
        self,
        module: nn.Module,
        card: Card,
        folder: Path,
        batches: Sequence[Images],
        fingerprint: str,
        calibration: Callable[[], Images] | None,
    ) -> None:
        self.reference = ModulePredictor(module, card.name, card.class_names)
        self.card, self.folder, self.batches = card, folder, [*batches, *_canvases(module, batches[0])]
        self.fingerprint, self.calibration = fingerprint, calibration

    def run(self, its: ExportFormat, before: Status) -> Status:
        """Write one format, unless it is up to date; return its entry."""
        key = _key(its, self.fingerprint, before)
        if self.fingerprint and before.get("status") == "done" and is_done(self.folder / its.name, key):
            return before
        try:
            return self._make(its, _key(its, self.fingerprint, {}))
        except Exception as error:
            log.debug("%s of %s failed", its.name, self.card.name, exc_info=True)
            text = str(error).strip().partition("\n")[0]
            reason = text if isinstance(error, CommitteeError) else f"{type(error).__name__}: {text}"
            log.error("%s", reason)
            is_missing = isinstance(error, (DependencyError, DeviceError))
            return {"status": "missing" if is_missing else "failed", "reason": reason}

    def _make(self, its: ExportFormat, key: str) -> Status:
        name, module = its.name, self.reference.module
        exporter: Exporter = its.make()
        if has_variance(module) and not exporter.with_std:
            raise ExportError(
                f"{name} of {self.card.name}",
                expected=f"one of the formats with standard deviations: {', '.join(_with_std())}",
                got=its.format,
                todo="Name one of them in exports.formats.",
            )
        exporter.calibration = self.calibration
        facts = {"format": its.format, "options": its.options}
        with commit(self.folder / name, kind="export", fingerprint=key, **facts) as new:
            start = time.perf_counter()
            file = exporter.export(module, torch.tensor(self.batches[0]), new, self.card)
            seconds = time.perf_counter() - start
            loaded = exporter.load(file, module)
            who = f"{name} of {self.card.name}"
            parity = check_parity(self.reference, loaded, self.batches, who, exporter.tolerance)
            graph = exporter.graph  # other formats are run by the same code
            times = {"time": file_time(self.reference, loaded, self.batches[0])} if graph else {}
            del loaded
            place = (Path(name) / file.relative_to(new)).as_posix()
            return {
                "status": "done",
                "file": place,
                "size_mb": _size_mb(new),
                "seconds": round(seconds, 2),
                "parity": parity,
                **times,
                **(
                    {"note": DENSE}
                    if exporter.graph and not exporter.branches and is_conditional(module)
                    else {}
                ),
            }


def _canvases(module: nn.Module, images: Images) -> list[Images]:
    """Return images of the sizes of the canvases that a module reads, which files may not resize."""
    views = (view for canvas, view in views_by_canvas(module).items() if canvas.size)
    return [view.whole(torch.tensor(images)).numpy() for view in views]


def _with_std() -> list[str]:
    """Return the formats of models whose networks predict variances."""
    return [key for key in EXPORTERS.names() if EXPORTERS.constants(key).get("with_std")]


def _previous(folder: Path, fingerprint: str) -> dict[str, Status]:
    """Return the entries of the formats in `folder` that were written from the same model."""
    place = folder / STATUS
    try:
        status = read_json(place, "the status of an export")
        if not fingerprint or status.get("fingerprint") != fingerprint:
            return {}
        return build(
            lambda: {name: each for name, each in status["formats"].items() if each["status"] == "done"},
            place,
            "the status of an export",
        )
    except StoreError:
        return {}


def _check_own(folder: Path) -> None:
    """Raise a UsageError for a folder with files that `package` did not write."""
    if not folder.exists() or (folder / STATUS).is_file():
        return
    # A package whose writing was interrupted has no status, but complete formats.
    foreign = [path.name for path in folder.iterdir() if path.name[0] != "." and not (path / NAME).is_file()]
    if foreign:
        raise UsageError(
            str(folder),
            expected="a folder that committee wrote, or an empty one",
            got=first_five(sorted(foreign)),
            todo="Name another folder with --out.",
        )


def _remove_others(folder: Path, status: Status) -> None:
    """Remove formats that failed, or that an earlier call wrote from another model."""
    done = {name for name, entry in status["formats"].items() if entry["status"] == "done"}
    for path in folder.iterdir():
        if (path / NAME).is_file() and path.name not in done:  # other folders are not ours
            remove(path)


def _write_records(folder: Path, card: Card, channels: int, status: Status) -> None:
    versions = {name: metadata.version(name) for name in ("torch", "torchvision", "timm")}
    write_json(
        folder / METADATA,
        {
            "name": card.name,
            **card.facts,
            **card.predicts(),
            "channels": channels,
            "input": dict(card.input),
            "versions": {"committee": __version__, **versions},
        },
    )
    write_json(folder / CLASSES, {str(k): name for k, name in enumerate(card.class_names)})
    _write_status(folder, status)


def _write_status(folder: Path, status: Status) -> None:
    write_json(folder / STATUS, status)
    write_json(folder / CHECKSUMS, _checksums(folder))


def _checksums(folder: Path) -> dict[str, str]:
    """Return the checksum of each file; those of formats are in their manifests already."""
    formats = [path for path in folder.iterdir() if (path / NAME).is_file()]
    known = {
        f"{path.name}/{name}": str(facts["sha256"])
        for path in formats
        for name, facts in read_manifest(path, verify=False).files.items()
    }
    names = {path.relative_to(folder).as_posix() for path in _files(folder)} | known.keys()
    return {name: known.get(name) or hash_file(folder / name) for name in sorted(names)}


def _files(folder: Path) -> Iterable[Path]:
    return (p for p in folder.rglob("*") if p.is_file() and p != folder / CHECKSUMS)


def _size_mb(folder: Path) -> float:
    return round(sum(path.stat().st_size for path in _files(folder)) / 1e6, 3)
