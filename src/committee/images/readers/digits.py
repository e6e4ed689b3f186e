"""The scans of handwritten digits that scikit-learn ships: 1,797 of 8 x 8 pixels, 10 classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from committee.errors import UsageError
from committee.images.readers.base import Reader, Samples, sorted_classes


class Digits(Reader):
    """Built-in data: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits (UCI, 1998)."""

    def __init__(self, path: Path | None = None) -> None:
        if path is not None:
            raise UsageError(
                "reader digits", expected="no path", got=f"'{path}'", todo="Remove dataset.path."
            )

    @classmethod
    def accepts(cls, path: Path) -> bool:
        return False

    def read(self) -> Samples:
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = np.round(digits.images * (255 / 16)).astype(np.uint8)
        labels = [str(label) for label in digits.target]
        rows = [str(row) for row in range(len(images))]
        return Samples(rows, images, labels, ["train"] * len(images), sorted_classes(labels))
