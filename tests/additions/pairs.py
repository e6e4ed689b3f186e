"""A prediction format: a line `id,probability of the second class` for each sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from committee.predictions.files.base import PredictionFile, Table


class Pairs(PredictionFile):
    """Files that end in `.pairs`."""

    suffixes = (".pairs",)

    def read(self, path: Path) -> Table:
        """Read the lines."""
        ids, second = np.loadtxt(path, dtype=str, delimiter=",", unpack=True)
        probability = second.astype(float)
        return Table(ids, values=np.stack([1 - probability, probability], axis=1))
