"""Reader of scikit-learn's handwritten digits: 1,797 images of 8 x 8 pixels in 10 classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from committee.errors import UsageError
from committee.images.readers.base import Reader, Samples, sorted_classes


class Digits(Reader):
    """Reader of the built-in handwritten digits (Alpaydin and Kaynak, UCI 1998).

    Parameters
    ----------
    path : None
        The data has no path.

    Raises
    ------
    UsageError
        `path` is not None.

    See Also
    --------
    committee.images.readers.base.Samples : The result of `read`.
    committee.images.source.read : Select a reader and read the samples of a recipe.

    Examples
    --------
    >>> from committee.images.readers.digits import Digits
    >>> Digits().read().images.shape
    (1797, 8, 8)
    """

    built_in = True

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
