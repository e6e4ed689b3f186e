"""The images and maps of a data set in their own sizes, and the sample of pixels that is combined."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from committee.images.mapped import Mapped

IGNORED = -1
"""Class of a pixel without a label."""


class Table(NamedTuple):
    """The samples of predictions: the images of a data set, or pixels of them.

    Attributes
    ----------
    ids : str `[R]`
        Ids of images; of pixels, "IMAGE_ID@y,x".
    labels : int64 `[R]`, or float64 `[R, T]`
    folds : int64 `[R]`
        Fold of the image.
    groups : int64 `[R]` or None
        Group of the image; of pixels, the image if there are no groups.
    rows : int64 `[R]`
        Row of the image in the data set.
    """

    ids: NDArray[np.str_]
    labels: NDArray[Any]
    folds: NDArray[np.int64]
    groups: NDArray[np.int64] | None
    rows: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Points:
    """A sample of R pixels of all images, sorted by image.

    Parameters
    ----------
    row : int64 `[R]`
        Row of the image.
    pixel : int64 `[R]`
        Place in the image, `y * width + x`, ascending within an image.
    labels : int64 `[R]`, or float64 `[R, T]`
        Index of the class, or numbers; each has a label.

    See Also
    --------
    committee.images.points.sample_points : Draw the sample.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.images.maps import Points
    >>> points = Points(np.array([0, 0, 2]), np.array([3, 5, 0]), np.array([1, 0, 1]))
    >>> points.positions(np.array([2, 0])).tolist()
    [2, 0, 1]
    """

    row: NDArray[np.int64]
    pixel: NDArray[np.int64]
    labels: NDArray[Any]

    def positions(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the positions of the pixels of images, int64, image by image."""
        first, last = (np.searchsorted(self.row, rows, side) for side in ("left", "right"))
        counts = last - first
        skipped = np.repeat(np.cumsum(counts) - counts, counts)
        return (np.arange(counts.sum()) - skipped + np.repeat(first, counts)).astype(np.int64)

    def table(
        self,
        maps: Maps,
        ids: NDArray[np.str_],
        folds: NDArray[np.int64],
        groups: NDArray[np.int64] | None,
    ) -> Table:
        """Return the pixels as samples, with the folds and groups of their images."""
        places = zip(self.row.tolist(), self.pixel.tolist(), maps.sizes[self.row, 1].tolist(), strict=True)
        names = ids.tolist()
        named = np.array([f"{names[row]}@{place // width},{place % width}" for row, place, width in places])
        whose = np.arange(len(ids)) if groups is None else groups
        return Table(
            named.astype(np.str_), np.asarray(self.labels), folds[self.row], whose[self.row], self.row
        )


@dataclass(frozen=True, eq=False)
class Maps:
    """The N images of a data set in their own sizes, and their maps.

    Parameters
    ----------
    pixels : uint8 `[sum of H * W * channels]`, memory-mapped
    values : int16 `[sum of H * W]`, or float32 `[sum of H * W * T]`, memory-mapped
    sizes : int64 `[N, 2]`
        Height and width of each image.
    channels : int
        Number of channels of the images, 1 or 3.
    targets : int
        Number of numbers of a pixel; 0 for classes.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.images.maps import Maps
    >>> maps = Maps(np.arange(10, dtype=np.uint8), np.zeros(10, np.int16), np.array([[2, 3], [2, 2]]), 1, 0)
    >>> maps.image(1).shape, maps.map(1).tolist()
    ((2, 2, 1), [[0, 0], [0, 0]])
    """

    pixels: NDArray[np.uint8]
    values: NDArray[Any]
    sizes: NDArray[np.int64]
    channels: int
    targets: int

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """Number of pixels before each image, int64 `[N + 1]`."""
        return np.concatenate([[0], np.cumsum(self.sizes.prod(axis=1))])

    def image(self, row: int) -> NDArray[np.uint8]:
        """Return an image, uint8 `[H, W, channels]`, memory-mapped."""
        first, last = self._starts[row] * self.channels, self._starts[row + 1] * self.channels
        return self.pixels[first:last].reshape(*self.sizes[row], self.channels)

    def map(self, row: int) -> NDArray[Any]:
        """Return a map, memory-mapped.

        Returns
        -------
        int16 `[H, W]`
            Index of the class of each pixel; -1 without a label.
        float32 `[H, W, T]`
            Numbers; NaN without a label.
        """
        width = self.targets or 1
        first, last = self._starts[row] * width, self._starts[row + 1] * width
        shape = (*self.sizes[row], *([self.targets] if self.targets else []))
        return self.values[first:last].reshape(shape)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the paths of the memory-mapped arrays in place of their content."""
        return {name: Mapped.of(value) for name, value in vars(self).items() if name != "_starts"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update({name: Mapped.opened(value) for name, value in state.items()})
