"""Maps of images of any size from what takes images of one size only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.models.predictor import Images
from committee.models.tiling import tiled


def in_fixed_tiles(
    run: Callable[[Images], Any], images: Images, tile: int, batch: int = 1
) -> NDArray[np.float32]:
    """Return maps, float32 `[B, C, H, W]`, of images uint8 `[B, c, H, W]` of any height and width.

    Parameters
    ----------
    run : callable
        Images, uint8 `[b, c, tile, tile]`, to maps, float `[b, C, tile, tile]`.
    images : uint8 array `[B, c, H, W]`
        The right and the lower border of images that are smaller than a tile are repeated.
    tile : int
        Side of the tiles in pixels; see `committee.models.tiling.tiled`.
    batch : int
        Largest number of tiles in one call.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.exporters.shared.fixed_tiles import in_fixed_tiles
    >>> images = np.arange(2 * 5 * 90, dtype=np.uint8).reshape(2, 1, 5, 90)
    >>> bool((in_fixed_tiles(lambda tiles: tiles / 2, images, 32) == images / 2).all())
    True
    """
    height, width = images.shape[2:]
    sides = [(0, max(0, tile - side)) for side in (height, width)]
    padded = np.pad(images, [(0, 0), (0, 0), *sides], mode="edge")
    maps = [tiled(run, image, tile=tile, batch=batch)[:, :height, :width] for image in padded]
    return np.stack(maps)
