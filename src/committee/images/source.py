"""What the recipe's `dataset` section points at, as samples."""

from __future__ import annotations

import logging
import unicodedata
from pathlib import Path

from committee.errors import (
    CommitteeError,
    DataError,
    UnknownNameError,
    UsageError,
    first_five,
    nearest,
    printable,
)
from committee.images.readers.base import READERS, Reader, Samples
from committee.recipe.dataset import Dataset as Settings

log = logging.getLogger(__name__)

BUILT_IN = ("digits",)
_ORDER = ("metadata", "numpy", "csv", "parquet", "folder")


def read(settings: Settings) -> Samples:
    """Find the images that `settings` name; none is decoded.

    Raises
    ------
    UsageError
        The path is not there, or names no data set.
    DataError
        The data are not as they must be.
    """
    try:
        samples = _reader(settings).read()
    except CommitteeError:
        raise
    except OSError as error:
        raise DataError(
            printable(str(error.filename or settings.path)),
            expected="what can be read",
            got=str(error.strerror),
            todo="Look at its name, its rights and the disk.",
        ) from error
    _report_classes(samples, settings)
    return samples


def _reader(settings: Settings) -> Reader:
    columns = {"fold_column": settings.fold_column, "group_column": settings.group_column}
    options = {key: value for key, value in columns.items() if value is not None}
    if settings.path is None:
        return READERS.make(_built_in(settings), **options)
    path = Path(settings.path).expanduser()
    _check_path(path)
    return READERS.make(settings.reader or _detect(path), path=path, **options)


def _built_in(settings: Settings) -> str:
    if settings.reader in BUILT_IN or settings.name in BUILT_IN:
        return settings.reader or settings.name or ""
    if settings.name is None:
        raise UsageError(
            "dataset.path",
            expected="the folder or file of the images",
            got="none",
            todo="Name it: --set dataset.path=FOLDER",
        )
    raise UnknownNameError(
        "dataset.name",
        expected=f"{', '.join(BUILT_IN)} or a dataset.path beside it",
        got=f"'{settings.name}'",
        todo=nearest(settings.name, BUILT_IN),
    )


def _check_path(path: Path) -> None:
    if path.exists():
        return
    folder = path.parent
    while not folder.exists():
        path, folder = folder, folder.parent
    todo = nearest(path.name, [other.name for other in folder.iterdir()]) if folder.is_dir() else ""
    raise UsageError("dataset.path", expected="a folder or file", got=f"no '{path.as_posix()}'", todo=todo)


def _detect(path: Path) -> str:
    others = sorted({*READERS.names()} - {*_ORDER})
    for name in (*others, *_ORDER):
        if READERS.load(name).accepts(path):
            return name
    raise UsageError(
        "dataset.path",
        expected="a folder, or a .csv, .parquet or .npz file",
        got=f"'{path.as_posix()}'",
        todo="Name a reader: --set dataset.reader=NAME",
    )


def _report_classes(samples: Samples, settings: Settings) -> None:
    """Report classes that may not be meant: another number than expected, or names that look alike."""
    found = len(samples.class_names)
    if settings.n_classes not in (None, found):
        log.warning(
            "dataset.n_classes: expected %d classes, got %d: %s. All of the data's classes are used.",
            settings.n_classes,
            found,
            first_five(samples.class_names),
        )
    alike: dict[str, list[str]] = {}
    for name in samples.class_names:
        alike.setdefault(unicodedata.normalize("NFC", name).casefold(), []).append(name)
    for names in alike.values():
        if len(names) > 1:
            log.warning("classes %s: names that look alike are different classes", first_five(names))
