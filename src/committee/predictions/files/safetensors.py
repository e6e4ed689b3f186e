"""Safetensors files of predictions or labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from committee.errors import DataError
from committee.predictions.files._arrays import names_of, table
from committee.predictions.files.base import PredictionFile, Table
from committee.untrusted.safetensors_header import Header, read_header

FLOATS = {"F16": "<f2", "F32": "<f4", "F64": "<f8"}
TEXTS = ("ids", "classes", "target_names", "labels", "groups")


class Safetensors(PredictionFile):
    """Safetensors with `logits` or `probs`, float `[N, C]`, or numbers `values`, and `ids`.

    `ids` and the optional `classes`, `labels` and `groups` are tensors of whole numbers, or JSON lists of
    text in the metadata, as are `target_names` of numbers. `folds` and `seen` are optional tensors, and
    beside `values`, `labels` or `targets` are the true numbers.

    See Also
    --------
    Npz : The same arrays in the format of numpy.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from safetensors.numpy import save_file
    >>> from committee.predictions.files import Safetensors
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "resnet.safetensors"
    ...     values = np.array([[0.9, 0.1], [0.2, 0.8]], np.float32)
    ...     save_file({"probs": values}, path, metadata={"ids": '["x", "y"]'})
    ...     table = Safetensors().read(path)
    >>> table.ids.tolist(), table.is_probability
    (['x', 'y'], True)
    """

    suffixes = (".safetensors",)

    def read(self, path: Path) -> Table:
        """Read the tensors, and the lists in the metadata."""
        try:
            header = read_header(path)
            with safe_open(path, framework="numpy") as file:
                mapped = _mapped(path, header) if self.on_disk else {}
                arrays = {name: file.get_tensor(name) for name in header.shapes if name not in mapped}
        except (SafetensorError, TypeError, OSError) as error:
            raise DataError(
                str(path),
                expected="safetensors of float16, float32 or float64",
                got=str(error).splitlines()[0],
            ) from error
        texts = header.metadata
        lists = {name: _list(texts[name], f"{path}: {name}") for name in TEXTS if name in texts}
        return table({**arrays, **mapped, **lists}, str(path), self)


def _mapped(path: Path, header: Header) -> dict[str, NDArray[Any]]:
    """Return the tensors of floats with two axes, memory-mapped."""
    found: dict[str, NDArray[Any]] = {}
    for name, (kind, start) in header.places.items():
        shape = header.shapes[name]
        if kind in FLOATS and len(shape) == 2 and all(shape):
            found[name] = np.memmap(path, FLOATS[kind], "r", start, shape)
    return found


def _list(text: str, who: str) -> NDArray[Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(who, expected="a JSON list", got=repr(text[:40])) from error
    if not isinstance(values, list) or {type(value) for value in values} not in ({str}, {int}):
        raise DataError(who, expected="a JSON list of text or whole numbers", got=repr(text[:40]))
    return names_of(values, who)
