"""Turn the Fashion-MNIST of Debian's package `dataset-fashion-mnist` into a folder of PNG files.

sudo apt-get install dataset-fashion-mnist
python examples/fashion_mnist/prepare.py --out fashion --train 5000 --test 2000
committee run examples/fashion_mnist/recipe.yaml --set dataset.path=fashion --store fashion_store
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CLASSES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle-boot",
)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read one gzipped IDX file: 16 bits of zero, type, rank, then big-endian sizes and the bytes."""
    with gzip.open(path) as file:
        data = file.read()
    rank = data[3]
    shape = np.frombuffer(data, dtype=">i4", count=rank, offset=4)
    return np.frombuffer(data, dtype=np.uint8, offset=4 + 4 * rank).reshape(shape)


def write_split(images: NDArray[np.uint8], labels: NDArray[np.uint8], folder: Path, rows: range) -> None:
    """Write the images of some rows as `folder/<class>/<number>.png`."""
    for name in CLASSES:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number in rows:
        Image.fromarray(images[number]).save(folder / CLASSES[labels[number]] / f"{number:05d}.png")


def main() -> None:
    parser = argparse.ArgumentParser(description="Turn Debian's Fashion-MNIST into a folder of PNG files.")
    parser.add_argument("--source", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--out", type=Path, default=Path("fashion"))
    parser.add_argument("--train", type=int, default=5000, help="training images to write")
    parser.add_argument("--test", type=int, default=2000, help="test images to write")
    parser.add_argument("--skip", type=int, default=0, help="training images to leave out before those")
    arguments = parser.parse_args()
    train = range(arguments.skip, arguments.skip + arguments.train)
    for split, stem, rows in (("train", "train", train), ("test", "t10k", range(arguments.test))):
        images = read_idx(arguments.source / f"{stem}-images-idx3-ubyte.gz")
        labels = read_idx(arguments.source / f"{stem}-labels-idx1-ubyte.gz")
        write_split(images, labels, arguments.out / split, rows)
    print(f"{arguments.out}: {arguments.train} training and {arguments.test} test images")


if __name__ == "__main__":
    main()
