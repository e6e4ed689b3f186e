"""NPZ files of predictions or labels."""

from __future__ import annotations

from pathlib import Path

from committee.errors import DataError
from committee.predictions.files._arrays import table
from committee.predictions.files.base import PredictionFile, Table
from committee.untrusted.npy import load_npz


class Npz(PredictionFile):
    """NPZ with the arrays `ids`, `[N]`, and `logits` or `probs`, float `[N, C]`.

    The optional arrays are `classes`, `[C]`, and `labels`, `folds`, `groups` and `seen`, `[N]`. Numbers are
    the array `values`, `[N]` or `[N, T]`, with `target_names`, `[T]`, and the true numbers are `targets` or
    `labels`.

    See Also
    --------
    Safetensors : The same arrays in the safetensors format.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from committee.predictions.files import Npz
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "resnet.npz"
    ...     np.savez(path, ids=["x", "y"], probs=[[0.9, 0.1], [0.2, 0.8]])
    ...     table = Npz().read(path)
    >>> table.ids.tolist(), table.is_probability
    (['x', 'y'], True)
    """

    suffixes = (".npz",)

    def read(self, path: Path) -> Table:
        """Read the arrays; arrays of Python objects are rejected."""
        try:
            arrays = load_npz(path, mmap=self.on_disk)
        except ValueError as error:
            raise DataError(
                str(path),
                expected="named NumPy arrays without Python objects",
                got=str(error),
                todo="Save the arrays with numpy.savez.",
            ) from error
        return table(arrays, str(path), self)
