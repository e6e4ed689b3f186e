"""Reading of the samples that the recipe's `dataset` section describes."""

from __future__ import annotations

import logging
import unicodedata
from pathlib import Path

import numpy as np

from committee.errors import (
    CommitteeError,
    DataError,
    UnknownNameError,
    UsageError,
    first_five,
    missing,
    nearest,
    unreadable,
)
from committee.images.readers.base import READERS, Reader, Samples
from committee.images.targets import with_task
from committee.predictions.target_types import TargetType
from committee.recipe.dataset import Dataset as Settings
from committee.store.remote.address import is_address
from committee.store.remote.downloads import bring, by_address

log = logging.getLogger(__name__)


@by_address()
def read(settings: Settings, known: TargetType | None = None) -> Samples:
    """Return the samples that `settings` describe, without decoding images.

    Parameters
    ----------
    settings : recipe.dataset.Dataset
    known : TargetType, optional
        What the labels of the store's data set are.

    Raises
    ------
    UsageError
        The path does not exist, or its format is unknown.
    DataError
        The data is not valid.
    """
    try:
        samples = with_task(_reader(settings).read(), settings, known)
    except CommitteeError:
        raise
    except OSError as error:
        path = Path(error.filename or settings.path or "")
        todo = "Check its name, its permissions and the disk."
        raise unreadable(DataError, path, error, todo, _what(path)) from error
    if samples.class_names:
        report_classes(samples, settings)
    return samples


def _reader(settings: Settings) -> Reader:
    columns = {
        "fold_column": settings.fold_column,
        "group_column": settings.group_column,
        "targets": settings.targets,
    }
    options = {key: value for key, value in columns.items() if value is not None}
    if settings.path is None:
        return READERS.make(_built_in(settings), **options)
    path = path_of(settings.path)
    _check_path(path)
    return READERS.make(settings.reader or _detect(path), path=path, **options)


def path_of(path: str) -> Path:
    """Return the path of images on this machine, to which those at an address are downloaded."""
    return bring(path) if is_address(path) else Path(path).expanduser()


def _built_in(settings: Settings) -> str:
    known = [name for name in READERS.names() if READERS.load(name).built_in]
    if settings.reader in known or settings.name in known:
        return settings.reader or settings.name or ""
    if settings.name is None:
        raise UsageError(
            "dataset.path",
            expected="the folder or file of the images",
            got="none",
            todo="Set it: --set dataset.path=FOLDER",
        )
    raise UnknownNameError(
        "dataset.name",
        expected=f"{', '.join(known)}, or dataset.path as well",
        got=f"'{settings.name}'",
        todo=nearest(settings.name, known),
    )


def _check_path(path: Path) -> None:
    if path.exists():
        return
    what, folder = _what(path), path.parent
    while not folder.exists():
        what, path, folder = "folder", folder, folder.parent
    others = [other.name for other in folder.iterdir()] if folder.is_dir() else []
    todo = nearest(path.name, others) or "Correct dataset.path."
    raise missing(UsageError, path.as_posix(), todo, what)


def _what(path: Path) -> str:
    """Return the word for a path that cannot be examined."""
    return "file" if path.suffix else "folder"


def _detect(path: Path) -> str:
    readers = {name: READERS.load(name) for name in READERS.names() if not READERS.load(name).built_in}
    for name in sorted(readers, key=lambda each: (readers[each].detection_order, each)):
        if readers[name].accepts(path):
            return name
    raise UsageError(
        "dataset.path",
        expected=f"a folder or file in one of the formats {', '.join(readers)}",
        got=f"'{path.as_posix()}'",
        todo="Give its format: --set dataset.reader=NAME",
    )


def report_classes(samples: Samples, settings: Settings) -> None:
    """Warn of an unexpected number of classes, and of class names that differ in case or Unicode form."""
    if np.issubdtype(samples.target_type.dtype, np.floating):
        if settings.n_classes is not None:
            log.warning("dataset.n_classes has no effect: labels are %s", samples.target_type.name)
        return
    found = len(samples.class_names)
    if settings.n_classes not in (None, found):
        log.warning(
            "dataset.n_classes: expected %d classes, got %d: %s. All classes of the data are used.",
            settings.n_classes,
            found,
            first_five(samples.class_names),
        )
    alike: dict[str, list[str]] = {}
    for name in samples.class_names:
        alike.setdefault(unicodedata.normalize("NFC", name).casefold(), []).append(name)
    for names in alike.values():
        if len(names) > 1:
            log.warning("classes %s: similar names are different classes", first_five(names))
