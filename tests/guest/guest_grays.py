"""A reader: gray images in an archive of arrays that ends in .grays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from committee.images.readers import Reader, Samples
from committee.images.readers.base import sorted_classes


class GuestGrays(Reader):
    """Reader of gray images `[N, H, W]` and labels `[N]` in an archive that ends in `.grays`."""

    @classmethod
    def accepts(cls, path: Path) -> bool:
        """Return whether the name of the file ends in `.grays`."""
        return path.suffix == ".grays"

    def read(self) -> Samples:
        """Return the samples."""
        with self.path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            images, labels = arrays["images"], [str(label) for label in arrays["labels"]]
        ids = [str(row) for row in range(len(labels))]
        return Samples(ids, images[..., None], labels, ["train"] * len(labels), sorted_classes(labels))
