"""NPY files of predictions, with ids, labels and classes in files beside them, as Keras programs write."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError
from committee.predictions.files._arrays import table
from committee.predictions.files.base import PredictionFile, Table
from committee.untrusted.npy import load_npy

IDS = ("ids", "filenames", "image_ids")
LABELS = ("labels", "y_true", "y", "targets")
CLASSES = ("class_indices.json", "class_names.json", "classes.json", "class_names.txt", "classes.txt")
FIRST = 64
"""Rows that usually tell whether values are probabilities, so that a large array is not read for that."""
_SPLITS = ("train", "val", "valid", "validation", "test", "oof")


class Npy(PredictionFile):
    """One array of scores, float `[N, C]`, with the names of its rows and columns in files beside it.

    For `val_preds.npy`, the ids are the lines or values of `val_ids`, `ids_val` or `ids` (or `filenames`,
    `image_ids`), and the labels are those of `val_labels`, `y_val`, `labels` or `y_true`, as `.npy` or
    `.txt`. Labels may be one-hot. The classes are in `class_indices.json`, which Keras writes, or in
    `class_names` or `classes`, as `.json` or `.txt`. Without ids, rows are numbered. Rows that sum to 1 are
    probabilities.

    See Also
    --------
    Npz : All arrays in one file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from committee.predictions.files.npy import Npy
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(Path(folder) / "val_preds.npy", [[0.9, 0.1], [0.2, 0.8]])
    ...     np.save(Path(folder) / "y_val.npy", [0, 1])
    ...     table = Npy().read(Path(folder) / "val_preds.npy")
    >>> table.ids.tolist(), table.labels.tolist(), table.is_probability
    (['0', '1'], [0, 1], True)
    """

    suffixes = (".npy",)

    def read(self, path: Path) -> Table:
        """Read the array, and the files beside it; arrays of Python objects are rejected."""
        values = _array(path, self.on_disk)
        if values.ndim != 2 or values.dtype.kind != "f":
            raise DataError(str(path), expected="floats [N, C]", got=f"{values.dtype} {list(values.shape)}")
        ids = _beside(path, IDS if self.id_column is None else (self.id_column,))
        labels = _beside(path, LABELS if self.label_column is None else (self.label_column,))
        if ids is None and labels is None:
            raise DataError(
                str(path),
                expected="a file of ids or of labels beside it",
                got="none",
                todo="Save the names of the images, in the order of the rows, as ids.npy.",
            )
        is_probability = all(map(_are_probabilities, (values[:FIRST], values)))
        classes = _classes(path.parent)
        parts = {
            "ids": np.arange(len(values)).astype(np.str_) if ids is None else ids,
            "probs" if is_probability else "logits": values,
            "labels": None if labels is None else _plain(labels, classes),
            "classes": None if classes is None else np.array(classes),
        }
        given = {name: array for name, array in parts.items() if array is not None}
        return table(given, str(path), type(self)())


def _are_probabilities(values: NDArray[Any]) -> bool:
    return bool((values >= 0).all() and (abs(values.sum(axis=1, dtype=np.float64) - 1) <= 1e-3).all())


def _plain(labels: NDArray[Any], classes: Sequence[str] | None) -> NDArray[Any]:
    """Return labels `[N]` from labels `[N]`, `[N, 1]` or one-hot; numbers of classes become their names."""
    if labels.ndim == 2:
        labels = labels[:, 0] if labels.shape[1] == 1 else labels.argmax(1)
    if labels.dtype.kind == "f" and np.array_equal(labels, np.trunc(labels)):
        labels = labels.astype(np.int64)
    inside = labels.dtype.kind in "iu" and labels.size and labels.min() >= 0
    if classes is None or not inside or labels.max() >= len(classes):
        return labels
    return np.array(classes)[labels]


def _beside(path: Path, names: Sequence[str]) -> NDArray[Any] | None:
    """Return the first file of one of these names beside `path`, those of its split before the others."""
    words = [word for word in re.split(r"[_\-. ]+", path.stem.lower()) if word in _SPLITS]
    stems = [text for word in words for name in names for text in (f"{word}_{name}", f"{name}_{word}")]
    for stem in [*stems, *names]:
        for suffix in (".npy", ".txt"):
            file = path.with_name(stem + suffix)
            if file != path and file.is_file():
                return _array(file) if suffix == ".npy" else np.array(_lines(file))
    return None


def _classes(folder: Path) -> list[str] | None:
    """Return the names of the columns, from a list or from a mapping of names to numbers or back."""
    file = next((folder / name for name in CLASSES if (folder / name).is_file()), None)
    if file is None:
        return None
    found: Any = _lines(file)
    if file.suffix == ".json":
        try:
            found = json.loads("\n".join(found))
            if isinstance(found, dict):
                by_number = all(isinstance(value, int) for value in found.values())
                pairs = {value: key for key, value in found.items()} if by_number else found
                found = [pairs[key] for key in sorted(pairs, key=int)]
        except (ValueError, TypeError, RecursionError) as error:
            raise DataError(str(file), expected="names of classes as JSON", got=str(error)) from error
    return list(map(str, found))


def _lines(path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(str(path), expected="text in UTF-8", got="other bytes") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _array(path: Path, mmap: bool = False) -> NDArray[Any]:
    try:
        return load_npy(path, mmap=mmap)
    except ValueError as error:
        raise DataError(str(path), expected="a NumPy array without Python objects", got=str(error)) from error
