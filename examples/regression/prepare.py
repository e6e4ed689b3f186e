"""Make patches of photographs that are blurred by known amounts: the target is the amount.

python examples/regression/prepare.py --out blur
committee run examples/regression/recipe.yaml --store blur_store

The photographs are real ones that scikit-image and scikit-learn ship. The blur is made: each patch is a tile
of 32 x 32 pixels in gray, blurred by a Gaussian whose standard deviation, `sigma`, is drawn uniformly from
0.2 to 3 pixels. Tiles do not overlap. A photograph is one group, which stays in one fold and in one split, so
that scores are those for photographs that the networks have never seen. Tiles of sky and of other flat areas
are left out: they look the same at any blur.

Without scikit-image, there are two photographs; then the versions of a tile are a group.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_sample_image

SIDE = 32
MARGIN = 12
"""Pixels around a tile that its blur reads."""
SIGMAS = (0.2, 3.0)
VERSIONS = 3
TILES = 40
"""Largest number of tiles of a photograph, which are chosen at random."""
LEAST_DETAIL = 8.0
"""Smallest standard deviation of the differences of neighboring pixels in a tile, in gray levels."""
SHIPPED = (
    *("astronaut", "brick", "camera", "cat", "coffee", "coins", "grass", "gravel", "hubble_deep_field"),
    *("immunohistochemistry", "moon", "retina", "rocket", "stereo_motorcycle"),
)
"""Photographs in the wheel of scikit-image, which need no download."""

Gray = NDArray[np.floating]


def photographs() -> dict[str, Gray]:
    """Return photographs in gray, by name."""
    found = {name: load_sample_image(f"{name}.jpg") for name in ("china", "flower")}
    try:
        from skimage import data
    except ImportError:
        print("scikit-image is not installed: there are the two photographs of scikit-learn")
    else:
        for name in SHIPPED:
            photo = getattr(data, name)()
            found[name] = photo[0] if isinstance(photo, tuple) else photo
    return {
        name: photo.mean(axis=2) if photo.ndim == 3 else photo.astype(float) for name, photo in found.items()
    }


def blurred(photo: Gray, row: int, column: int, sigma: float) -> NDArray[np.uint8]:
    """Return the tile at a row and a column of the grid of a photograph, blurred by `sigma` pixels."""
    top, left = MARGIN + row * SIDE, MARGIN + column * SIDE
    region = photo[top - MARGIN : top + SIDE + MARGIN, left - MARGIN : left + SIDE + MARGIN]
    inside = gaussian_filter(region, sigma)[MARGIN:-MARGIN, MARGIN:-MARGIN]
    return np.clip(np.rint(inside), 0, 255).astype(np.uint8)


def detailed(photo: Gray) -> list[tuple[int, int]]:
    """Return the tiles of a photograph, by row and column, that are not flat."""
    rows, columns = ((side - 2 * MARGIN) // SIDE for side in photo.shape)
    found = []
    for row, column in np.ndindex(rows, columns):
        top, left = MARGIN + row * SIDE, MARGIN + column * SIDE
        tile = photo[top : top + SIDE, left : left + SIDE]
        steps = np.concatenate([np.diff(tile, axis=0).ravel(), np.diff(tile, axis=1).ravel()])
        if steps.std() >= LEAST_DETAIL:
            found.append((row, column))
    return found


def main() -> None:
    """Write the patches and `labels.csv` with the columns path, sigma and group."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="blur", help="folder of the patches")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder, generator = Path(arguments.out), np.random.default_rng(arguments.seed)
    folder.mkdir(parents=True, exist_ok=True)
    lines, photos = [], photographs()
    for name, photo in photos.items():
        tiles = detailed(photo)
        for place in generator.permutation(len(tiles))[:TILES]:
            row, column = tiles[place]
            group = name if len(photos) > 2 else f"{name}_{row}_{column}"
            for version in range(VERSIONS):
                sigma, path = round(generator.uniform(*SIGMAS), 3), f"{name}_{row}_{column}_{version}.png"
                Image.fromarray(blurred(photo, row, column, sigma)).save(folder / path)
                lines.append((path, sigma, group))
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "sigma", "group"))
        writer.writerows(lines)
    print(f"{len(lines)} patches of {len(photos)} photographs in {folder}")


if __name__ == "__main__":
    main()
