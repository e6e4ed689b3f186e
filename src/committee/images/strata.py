"""What follows from decoded masks for whole images: their classes, their strata, and which have no label."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from committee.base.text import count
from committee.errors import first_five
from committee.images.decode import ImageError
from committee.images.map_cache import MapCache
from committee.images.mask_classes import classes_of
from committee.images.masks import decode_mask
from committee.images.readers.base import Samples
from committee.images.record import Record
from committee.predictions.target_types import NUMBERS

log = logging.getLogger(__name__)

FEWEST = 10
"""Smallest number of images of a stratum."""
PREVIEWED = 100
"""Masks that a preview decodes to find the classes."""


def with_strata(samples: Samples, cache: MapCache) -> Samples:
    """Return the samples that could be decoded, with the names of classes and the stratum of each image."""
    labeled = cache.counts.sum(axis=1) > 0
    if not labeled.all():
        empty = [name for name, known in zip(samples.ids, labeled.tolist(), strict=True) if not known]
        log.warning("left out %s without a labeled pixel: %s", count(len(empty), "mask"), first_five(empty))
    strata = np.full(len(labeled), -1, np.int64)
    if cache.means.shape[1]:
        strata[labeled] = NUMBERS.strata(cache.means[labeled])
    else:
        strata[labeled] = rarest_classes(cache.counts[labeled])
    return replace(samples, labels=strata, class_names=cache.class_names)


def warn_of_untrained(record: Record, cache: MapCache) -> None:
    """Log classes that only images outside of the training split have."""
    train = np.array(record.splits) == "train"
    absent = (cache.counts[train].sum(axis=0) == 0) & (cache.counts.sum(axis=0) > 0)
    if absent.any():
        log.warning(
            "no image of the training split has a pixel of %s: networks cannot learn it",
            first_five(np.array(record.class_names)[absent]),
        )


def rarest_classes(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the class of each image that the fewest images have, int64 `[N]`.

    Parameters
    ----------
    counts : int64 `[N, C]`
        Number of pixels of each class. Of classes in equally many images, the one with fewer pixels is rarer.
        Images with a class that is the rarest one of fewer than ten get the most frequent class.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.images.strata import rarest_classes
    >>> rarest_classes(np.array([[9, 1]] * 10 + [[9, 0]] * 11)).tolist()[8:12]
    [1, 1, 0, 0]
    """
    there = counts > 0
    order = np.lexsort((counts.sum(axis=0), there.sum(axis=0)))
    rarest = order[there[:, order].argmax(axis=1)]
    sizes = np.bincount(rarest, minlength=counts.shape[1])
    found: NDArray[np.int64] = np.where(sizes[rarest] < FEWEST, order[-1], rarest)
    return found


def with_previewed_classes(samples: Samples) -> Samples:
    """Return samples with the names of classes that their first masks have, unless they are known."""
    masks = samples.masks
    if masks is None or samples.class_names:
        return samples
    seen: dict[str, dict[int, int]] = {}
    narrow, unlabeled = True, [] if masks.ignore is None else [masks.ignore]
    for name, source in zip(samples.ids[:PREVIEWED], masks.sources[:PREVIEWED], strict=True):
        with contextlib.suppress(ImageError):
            mask = decode_mask(source)
            narrow &= mask.dtype == np.uint8
            seen[name] = dict.fromkeys(np.setdiff1d(mask, unlabeled).tolist(), 1)
    whole = len(samples.ids) <= PREVIEWED
    classes = classes_of(masks, list(seen), list(seen.values()), narrow, whole=whole)
    return replace(samples, class_names=classes.names)
