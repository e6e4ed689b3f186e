"""Files with the outputs of a network for all pixels of images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from committee.images.dataset import Dataset
from committee.store.mapped import create_array
from committee.training.fit.batches import Rows

MOST_BYTES = 2**31
"""Largest size in bytes of the maps that one fit stores, with `dataset.keep_maps: auto`."""
SUFFIX = "_maps.npy"
Keep = Callable[[Tensor], None]


class MapFile:
    """Stored outputs for all pixels of an image, in a file with those of several images of any size.

    Parameters
    ----------
    path : Path
        A file that `writing` wrote.
    sizes : int64 array `[N, 2]`
        Height and width of the images in the file, in their order.
    outputs : int
        Number of classes or targets.
    number : int
        The image.

    Attributes
    ----------
    shape : tuple of int
        `[C, H, W]`.

    Examples
    --------
    >>> import tempfile, torch
    >>> from committee.training.crossfit.map_files import MapFile, writing
    >>> sizes = np.array([[2, 3], [1, 2]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "maps.npy")
    ...     with writing(path, sizes, outputs=2) as keep:
    ...         keep(torch.zeros(2, 2, 3))
    ...         keep(torch.ones(2, 1, 2))
    ...     MapFile(path, sizes, outputs=2, number=1).lines(slice(0, 1)).tolist()
    [[[1.0, 1.0]], [[1.0, 1.0]]]
    """

    def __init__(self, path: Path, sizes: NDArray[np.int64], outputs: int, number: int = 0) -> None:
        self.path, self.shape = path, (outputs, *map(int, sizes[number]))
        self.start = int(_starts(sizes, outputs)[number])

    def lines(self, lines: slice) -> NDArray[np.float32]:
        """Return the outputs for some lines of pixels, float32 `[C, h, W]`; the file does not stay mapped."""
        flat = np.load(self.path, mmap_mode="r", allow_pickle=False)
        image = flat[self.start : self.start + math.prod(self.shape)].reshape(self.shape)
        return np.array(image[:, lines])


@contextmanager
def writing(path: Path, sizes: NDArray[np.int64], outputs: int) -> Iterator[Keep]:
    """Yield a function that writes the outputs of the next image, float32 tensor `[C, H, W]`."""
    starts = _starts(sizes, outputs)
    array = create_array(path, (int(starts[-1]),), np.float32)
    done = 0

    def keep(maps: Tensor) -> None:
        nonlocal done
        array[starts[done] : starts[done + 1]] = maps.flatten().cpu().numpy()
        done += 1

    yield keep
    array.flush()


def bytes_of(dataset: Dataset, rows: Rows) -> int:
    """Return the size of the stored maps of rows, in bytes; 0 for a data set without maps."""
    if dataset.sizes is None:
        return 0
    pixels = int(dataset.sizes[rows].prod(axis=1).sum())
    return pixels * len(dataset.class_names) * np.dtype(np.float32).itemsize


def are_stored(dataset: Dataset, rows: Rows) -> bool:
    """Return whether a fit stores its maps of rows that it did not see."""
    if dataset.sizes is None or dataset.keep_maps == "recompute":
        return False
    return dataset.keep_maps == "store" or bytes_of(dataset, rows) <= MOST_BYTES


def _starts(sizes: NDArray[np.int64], outputs: int) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(sizes.prod(axis=1) * outputs)]).astype(np.int64)
