"""Safetensors: named tensors, with names of samples and classes in the header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from committee.errors import DataError
from committee.prediction_files._arrays import table
from committee.prediction_files._base import PredictionFile, Table

TEXTS = ("ids", "classes", "labels")


class Safetensors(PredictionFile):
    """`logits` or `probs` `[N, C]`; `labels`, `folds`, `groups` may be there.

    `ids`, `classes` and `labels` are tensors of whole numbers, or JSON lists of text in the metadata.
    """

    suffixes = (".safetensors",)

    def read(self, path: Path) -> Table:
        """Read the tensors and the lists in the header."""
        try:
            with safe_open(path, framework="numpy") as file:
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                header = file.metadata() or {}
        except (SafetensorError, TypeError, OSError) as error:
            raise DataError(str(path), expected="safetensors of float16, float32 or float64",
                            got=str(error).splitlines()[0]) from error  # fmt: skip
        lists = {name: _list(header[name], f"{path}: {name}") for name in TEXTS if name in header}
        return table({**arrays, **lists}, str(path))


def _list(text: str, who: str) -> NDArray[Any]:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(who, expected="a JSON list", got=repr(text[:40])) from error
    if not isinstance(values, list) or not all(isinstance(value, str | int) for value in values):
        raise DataError(who, expected="a JSON list of text or whole numbers", got=repr(text[:40]))
    return np.array(values)
