"""NPZ: named NumPy arrays."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from committee.errors import DataError
from committee.prediction_files._arrays import table
from committee.prediction_files._base import PredictionFile, Table


class Npz(PredictionFile):
    """`ids` `[N]`, `logits` or `probs` `[N, C]`; `classes`, `labels`, `folds`, `groups` may be there."""

    suffixes = (".npz",)

    def read(self, path: Path) -> Table:
        """Read the arrays; those of Python objects are refused."""
        try:
            # Opened here, for numpy leaves the file open when it is damaged.
            with path.open("rb") as file:
                archive = np.load(file, allow_pickle=False)
                if not isinstance(archive, np.lib.npyio.NpzFile):
                    raise ValueError("a single array")
                arrays = {name: archive[name] for name in archive.files}
        except (
            ValueError,
            OSError,
            EOFError,
            KeyError,
            zipfile.BadZipFile,
            zlib.error,
            MemoryError,
        ) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise DataError(
                str(path), expected="named NumPy arrays without Python objects", got=reason,
                todo="Save them with numpy.savez.",
            ) from error  # fmt: skip
        return table(arrays, str(path))
