"""Make patches of two photographs that are blurred by known amounts: the target is the amount.

python examples/regression/prepare.py --out blur
committee run examples/regression/recipe.yaml --store blur_store

The photographs are those of scikit-learn, `china.jpg` and `flower.jpg`. Each patch is a tile of 32 x 32
pixels, blurred by a Gaussian whose standard deviation, `sigma`, is drawn uniformly from 0.2 to 3 pixels.
Tiles do not overlap, and the six versions of a tile are one group, which stays in one fold and in one split.
Tiles of sky and of other flat areas are left out: they look the same at any blur.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter
from sklearn.datasets import load_sample_images

SIDE = 32
MARGIN = 12
"""Pixels around a tile that its blur reads."""
SIGMAS = (0.2, 3.0)
VERSIONS = 6
LEAST_DETAIL = 8.0
"""Smallest standard deviation of the differences of neighboring pixels in a tile, in gray levels."""


def blurred(photo: NDArray[np.uint8], row: int, column: int, sigma: float) -> NDArray[np.uint8]:
    """Return the tile at a row and a column of the grid of a photograph, blurred by `sigma` pixels."""
    top, left = MARGIN + row * SIDE, MARGIN + column * SIDE
    region = photo[top - MARGIN : top + SIDE + MARGIN, left - MARGIN : left + SIDE + MARGIN].astype(float)
    inside = gaussian_filter(region, (sigma, sigma, 0))[MARGIN:-MARGIN, MARGIN:-MARGIN]
    return np.clip(np.rint(inside), 0, 255).astype(np.uint8)


def detail(photo: NDArray[np.uint8], row: int, column: int) -> float:
    """Return the standard deviation of the differences of neighboring pixels in a tile."""
    top, left = MARGIN + row * SIDE, MARGIN + column * SIDE
    gray = photo[top : top + SIDE, left : left + SIDE].mean(axis=2)
    return float(np.concatenate([np.diff(gray, axis=0).ravel(), np.diff(gray, axis=1).ravel()]).std())


def main() -> None:
    """Write the patches and `labels.csv` with the columns path, sigma and group."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="blur", help="folder of the patches")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    folder, generator = Path(arguments.out), np.random.default_rng(arguments.seed)
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number, photo in enumerate(load_sample_images().images):
        rows, columns = ((side - 2 * MARGIN) // SIDE for side in photo.shape[:2])
        for row, column, version in np.ndindex(rows, columns, VERSIONS):
            if detail(photo, row, column) < LEAST_DETAIL:
                continue
            sigma, tile = round(generator.uniform(*SIGMAS), 3), f"{number}_{row}_{column}"
            Image.fromarray(blurred(photo, row, column, sigma)).save(folder / f"{tile}_{version}.png")
            lines.append((f"{tile}_{version}.png", sigma, tile))
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "sigma", "group"))
        writer.writerows(lines)
    print(f"{len(lines)} patches in {folder}")


if __name__ == "__main__":
    main()
