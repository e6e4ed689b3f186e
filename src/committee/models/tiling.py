"""Prediction of images of any size in overlapping tiles. Importing it imports no torch."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from committee.tasks.base import Task

TILE = 512
OVERLAP = 0.25
SIGMAS = 8
"""Side of a tile in standard deviations of its Gaussian weights."""
PIXELS_AT_ONCE = 2**20
VALUES_AT_ONCE = 2**16
"""Values whose logarithm is taken at once: new memory costs more time than the logarithm."""


class Strip(NamedTuple):
    """The part of an axis that one row or column of tiles covers.

    Attributes
    ----------
    start : int
        First pixel.
    own : float32 array [size]
        Share of the strip in the weights of its pixels; the shares of all strips of a pixel sum to one.
    earlier : float32 array [size]
        Share of the strips before it.
    """

    start: int
    own: NDArray[np.float32]
    earlier: NDArray[np.float32]

    @property
    def pixels(self) -> slice:
        """The pixels of the strip."""
        return slice(self.start, self.start + len(self.own))

    def like(self, image: Any) -> Strip:
        """Return the strip with arrays of the kind, and on the device, of an image."""
        return self._replace(own=_like(self.own, image), earlier=_like(self.earlier, image))


def tiled(
    run: Callable[[Any], Any],
    image: Any,
    *,
    tile: int = TILE,
    overlap: float = OVERLAP,
    batch: int = 1,
    task: Task | None = None,
) -> Any:
    """Return the outputs for an image, as the weighted mean of those of overlapping tiles.

    The tiles lie at regular distances. The weights of the pixels of a tile are a Gaussian around its center,
    with a standard deviation of an eighth of its side, as in nnU-Net (Isensee et al. 2021): pixels at the
    border of a tile, around which the network sees least, count least. The means are updated tile by tile, so
    that only the result is kept in memory. An image of at most one tile runs as a whole.

    Parameters
    ----------
    run : callable
        Images, uint8 `[B, c, h, w]`, to outputs, float `[B, C, h, w]`. It gets arrays or tensors, as `image`
        is one, and is called with at most `batch` tiles, which all have the same size.
    image : uint8 array or tensor [c, H, W]
        The image, of any height and width.
    tile : int
        Side of the tiles in pixels. A side of the image that is shorter is the side of all tiles.
    overlap : float
        Smallest overlap of neighboring tiles as a fraction of their side, from 0 to below 1.
    batch : int
        Largest number of tiles in one call.
    task : Task, optional
        The task of a module whose outputs these are; tiles and the result are then tensors. What the outputs
        mean (`Task.link`: probabilities, or numbers) is averaged, and the result consists of outputs again.
        By default, the outputs themselves are averaged, such as the probabilities of an exported file.

    Returns
    -------
    float32 array or tensor [C, H, W]
        On the device of the image.

    Raises
    ------
    UsageError
        An option is out of range.
    DataError
        The image or the outputs have another shape.

    References
    ----------
    F. Isensee, P. F. Jaeger, S. A. A. Kohl, J. Petersen, K. H. Maier-Hein (2021). nnU-Net: a self-configuring
    method for deep learning-based biomedical image segmentation. Nature Methods 18, 203-211.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.models.tiling import tiled
    >>> image = np.arange(3 * 50 * 70, dtype=np.uint8).reshape(3, 50, 70)
    >>> found = tiled(lambda tiles: tiles.max(axis=1, keepdims=True), image, tile=32)
    >>> found.shape, bool((found[0] == image.max(axis=0)).all())
    ((1, 50, 70), True)
    """
    check_tiles(tile, overlap, batch)
    if image.ndim != 3 or 0 in image.shape:
        raise DataError("image", expected="an array [channels, height, width]", got=str(list(image.shape)))
    if task is not None:
        image = _tensor(image)
    means: Any = None
    for places, outputs in _runs(run, image, (tile, overlap, batch), task):
        if means is None:
            means = _zeros((outputs.shape[1], *image.shape[1:]), image)
        for (y, x), found in zip(places, outputs, strict=True):
            _move(means[:, y.pixels, x.pixels], found, _step(y, x))
    return means if task is None else _outputs_of(task, means)


def strips(length: int, tile: int, overlap: float) -> list[Strip]:
    """Return the strips of an axis: as few as overlap enough, at regular distances.

    Examples
    --------
    >>> from committee.models.tiling import strips
    >>> [strip.start for strip in strips(1000, tile=400, overlap=0.25)]
    [0, 300, 600]
    """
    size = min(tile, length)
    count = math.ceil((length - size) / max(1.0, tile * (1 - overlap))) + 1
    starts = np.linspace(0, length - size, count).round().astype(int).tolist()
    bell = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) * SIGMAS / size) ** 2)
    total, before = np.zeros(length), np.zeros(length)
    for start in starts:
        total[start : start + size] += bell
    found = []
    for start in starts:
        pixels = slice(start, start + size)
        own = bell / total[pixels]
        found.append(Strip(start, own.astype(np.float32), before[pixels].astype(np.float32)))
        before[pixels] += own
    return found


def _runs(
    run: Callable[[Any], Any], image: Any, options: tuple[int, float, int], task: Task | None
) -> Iterator[tuple[Sequence[tuple[Strip, Strip]], Any]]:
    """Yield places of tiles and what is averaged of their outputs."""
    tile, overlap, batch = options
    rows, columns = (
        [strip.like(image) for strip in strips(length, tile, overlap)] for length in image.shape[1:]
    )
    grid = list(itertools.product(rows, columns))
    for first in range(0, len(grid), batch):
        places = grid[first : first + batch]
        tiles = _library(image).stack([image[:, y.pixels, x.pixels] for y, x in places])
        outputs = run(tiles)
        expected = (len(places), *tiles.shape[2:])
        if outputs.ndim != 4 or (outputs.shape[0], *outputs.shape[2:]) != expected:
            raise DataError(
                "outputs of tiles",
                expected=f"maps [{expected[0]}, C, {expected[1]}, {expected[2]}] of the size of the tiles",
                got=str(list(outputs.shape)),
            )
        if task is not None:
            outputs = task.link(outputs.float())
        yield places, _like(outputs, image)


def _step(y: Strip, x: Strip) -> Any:
    """Return how far the mean moves to a tile: the weight of the tile over that of all tiles so far.

    It is one where no tile was before. The mean of equal values is exactly this value.
    """
    total = (y.earlier / y.own)[:, None] + (x.earlier + x.own)
    return x.own / total


def _move(means: Any, outputs: Any, step: Any) -> None:
    """Move means towards outputs."""
    if isinstance(means, np.ndarray):
        means += step * (outputs - means)
    else:
        means.lerp_(outputs, step)


def _outputs_of(task: Task, means: Tensor) -> Tensor:
    """Replace means of what outputs mean by the outputs, some rows at a time."""
    for rows in means.split(max(1, VALUES_AT_ONCE // (means.shape[0] * means.shape[2])), dim=1):
        rows.copy_(_tensor(task.from_average(rows.cpu().numpy())))
    return means


def tiles_at_once(batch_size: int, tile: int) -> int:
    """Return the number of tiles of a batch: at most `batch_size`, and about a million pixels."""
    return max(1, min(batch_size, PIXELS_AT_ONCE // tile**2))


def check_tiles(tile: int, overlap: float, batch: int) -> None:
    """Raise UsageError if an option of `tiled` is out of range."""
    if tile < 1:
        raise UsageError("tile", expected="a side of at least 1 pixel", got=str(tile))
    if not 0 <= overlap < 1:
        raise UsageError("overlap", expected="a fraction from 0 to below 1", got=f"{overlap:g}")
    if batch < 1:
        raise UsageError("batch", expected="at least 1 tile", got=str(batch))


def _library(image: Any) -> Any:
    """Return the module of functions on arrays, or on tensors: NumPy's, or torch."""
    if isinstance(image, np.ndarray):
        return np
    import torch

    return torch


def _tensor(image: Any) -> Tensor:
    import torch

    return torch.as_tensor(image)


def _zeros(shape: tuple[int, ...], image: Any) -> Any:
    library = _library(image)
    return library.zeros(shape, dtype=library.float32, device=image.device)


def _like(values: Any, image: Any) -> Any:
    """Return values as float32, of the kind and on the device of the image."""
    library = _library(image)
    return library.asarray(values, dtype=library.float32, device=image.device)
