"""NPZ: named NumPy arrays."""

from __future__ import annotations

from pathlib import Path

from committee.errors import DataError
from committee.predictions.files._arrays import table
from committee.predictions.files.base import PredictionFile, Table
from committee.untrusted.npy import load_npz


class Npz(PredictionFile):
    """`ids` `[N]`, `logits` or `probs` `[N, C]`; `classes`, `labels`, `folds`, `groups` may be there."""

    suffixes = (".npz",)

    def read(self, path: Path) -> Table:
        """Read the arrays; those of Python objects are refused."""
        try:
            arrays = load_npz(path)
        except ValueError as error:
            raise DataError(
                str(path),
                expected="named NumPy arrays without Python objects",
                got=str(error),
                todo="Save them with numpy.savez.",
            ) from error
        return table(arrays, str(path))
