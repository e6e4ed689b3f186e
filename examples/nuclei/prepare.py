"""Make images and masks of nuclei in a micrograph: its left half for training, its right half for the test.

python examples/nuclei/prepare.py --out nuclei
committee run examples/nuclei/recipe.yaml --store nuclei_store

The micrograph is the one that the package stardist ships (`pip install 'committee[examples]'`): 512 x 512
pixels of fluorescence microscopy, in which 183 nuclei were outlined by hand. Each half is cut into images of
64 x 128 pixels, since intervals need several images. A pixel is 1 in a nucleus and 0 elsewhere.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from PIL import Image
from stardist.data import test_image_nuclei_2d

HEIGHT, WIDTH = 64, 128


def main() -> None:
    """Write the images, the masks, and `pairs.csv` with the columns path, mask and split."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", default="nuclei", help="folder of the images")
    folder = Path(parser.parse_args().out)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    micrograph, nuclei = test_image_nuclei_2d(return_mask=True)
    micrograph = micrograph.astype(np.uint8)  # its values are 0 to 235, stored in 16 bits
    lines = []
    for top in range(0, micrograph.shape[0], HEIGHT):
        for left in range(0, micrograph.shape[1], WIDTH):
            name, part = f"{top:03}_{left:03}.png", np.s_[top : top + HEIGHT, left : left + WIDTH]
            Image.fromarray(micrograph[part]).save(folder / "images" / name)
            Image.fromarray((nuclei[part] > 0).astype(np.uint8)).save(folder / "masks" / name)
            split = "train" if left < micrograph.shape[1] // 2 else "test"
            lines.append((f"images/{name}", f"masks/{name}", split))
    with (folder / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "mask", "split"), *lines])
    (folder / "masks" / "classes.txt").write_text("background\nnucleus\n", encoding="utf-8")
    print(f"{len(lines)} images in {folder.as_posix()}")


if __name__ == "__main__":
    main()
