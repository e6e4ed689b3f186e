"""Images without labels, decoded like those of a data set."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path

import numpy as np

from committee.base.text import count
from committee.errors import DataError, UsageError, first_five
from committee.images.cache import content_digest, hash_images, open_canvases
from committee.images.dataset import Dataset
from committee.images.decode import find_images, warn_of_others
from committee.images.view import CanvasSpec
from committee.store.layout import Store

log = logging.getLogger(__name__)


def open_unlabeled(
    folder: Path, like: Dataset, store: Store, canvases: Collection[CanvasSpec], *, workers: int, who: str
) -> Dataset:
    """Open a folder of images without labels; the first call decodes them.

    Parameters
    ----------
    folder : Path
        All images below it are used; broken ones are left out.
    like : Dataset
        The data set whose classes and preprocessing are used.
    store : Store
        Holds the decoded images.
    canvases : collection of CanvasSpec
        Without any, no image is decoded and nothing is written.
    workers : int
        Number of processes that decode images.
    who : str
        Key of the recipe, for errors.

    Returns
    -------
    Dataset
        All rows have the label and the fold -1, of numbers NaN, and are in no split.

    Raises
    ------
    DataError
        The folder cannot be read, or has no images.
    UsageError
        The data set has masks: images of any size are not decoded without theirs.
    """
    if like.target_type.dense:
        raise UsageError(
            who,
            expected="a data set of labels of images",
            got=f"one with masks, {like.name}, for which only images with masks are decoded",
            todo="Remove it.",
        )
    try:
        found, others = find_images(folder)
    except OSError as error:
        raise DataError(
            who, expected="a folder of images", got=f"'{folder}': {error.strerror}", todo="Check the path."
        ) from error
    ids = [path.relative_to(folder).as_posix() for path in found]
    if ids:
        warn_of_others(folder, others)
        content = content_digest(ids, hash_images(found, workers))
        opened = open_canvases(store, content, ids, found, canvases, workers=workers)
        broken = dict(next(iter(opened.values())).broken) if opened else {}
        if broken:
            log.warning("%s: %s cannot be decoded: %s", who, count(len(broken), "image"), first_five(broken))
        ids = [name for name in ids if name not in broken]
    if not ids:
        raise DataError(
            who,
            expected="JPEG, PNG or WebP images",
            got=f"none in '{folder}'",
            todo="Name the folder that contains them.",
        )
    nowhere = np.full(len(ids), -1, np.int64)
    return Dataset(
        name="unlabeled",
        fingerprint=content,
        canvases={spec: canvas.pixels for spec, canvas in opened.items()},
        labels=np.full((len(ids), *like.labels.shape[1:]), like.target_type.missing, like.labels.dtype),
        sample_ids=np.array([f"unlabeled/{name}" for name in ids]),
        class_names=like.class_names,
        target_type=like.target_type,
        splits=np.full(len(ids), "unlabeled"),
        folds=nowhere,
        groups=None,
        fit=like.fit,
        channels=like.channels,
        quarantined=broken,
    )
