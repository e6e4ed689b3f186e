"""A reader of dark and light images in one array."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from committee.images.readers.base import Reader, Samples, sorted_classes


class Blobs(Reader):
    """Reader of `.blobs` files: a NumPy array uint8 `[N, H, W]`."""

    @classmethod
    def accepts(cls, path: Path) -> bool:
        """Return whether the file ends in `.blobs`."""
        return path.suffix == ".blobs"

    def read(self) -> Samples:
        """Return the samples; the class is whether the mean is above 127."""
        with self.path.open("rb") as file:
            images = np.load(file, allow_pickle=False)
        labels = ["light" if image.mean() > 127 else "dark" for image in images]
        rows = [str(row) for row in range(len(images))]
        return Samples(rows, images, labels, ["train"] * len(images), sorted_classes(labels))
