"""Predictions of other programs: files of the folds of one model, and arrays with ids beside them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError, UsageError, first_five
from committee.pipeline.importing.settings import read_settings, settings_in
from committee.pipeline.shared.class_names import read_classes
from committee.predictions.files.base import read
from committee.predictions.table import Predictions
from committee.untrusted.npy import load_npy

log = logging.getLogger(__name__)

ARRAY = ".npy"
_IDS = ("ids", "filenames", "image_ids")
_LABELS = ("labels", "y_true", "y", "targets", "true")
_CLASSES = ("class_indices.json", "class_names.json", "classes.json", "classes.txt", "class_names.txt")


def read_rows(paths: Mapping[int, Path] | Path, name: str, split: str) -> Predictions:
    """Return the predictions of one model for the rows of a split.

    Parameters
    ----------
    paths : Path, or mapping of int to Path
        One file, or the file of each fold. Out-of-fold files have different rows, which are put together;
        files of test rows have the same rows, whose probabilities are averaged.
    name : str
        Name of the model.
    split : str
        `oof`, `val` or `test`.

    Raises
    ------
    DataError
        A file cannot be read, or the files do not fit together.
    """
    if isinstance(paths, Path):
        return _read(paths, name, split)
    parts = {fold: _read(path, name, split) for fold, path in paths.items()}
    first = next(iter(parts.values()))
    same = [part.with_classes(first.class_names) for part in parts.values()]
    if split == "test":
        return _mean(same)
    return _put_together(same, list(parts), name)


def _put_together(parts: Sequence[Predictions], folds: Sequence[int], name: str) -> Predictions:
    ids = np.concatenate([part.sample_ids for part in parts])
    repeated = sorted(
        {each for each, count in zip(*np.unique(ids, return_counts=True), strict=True) if count > 1}
    )
    if repeated:
        raise DataError(
            f"predictions of {name}",
            expected="each row in the file of one fold",
            got=f"several files with {first_five(repeated)}",
            todo="If the ids are row numbers within a fold, write the index of the whole table.",
        )
    labels = [part.labels for part in parts if part.labels is not None]
    return Predictions.from_logits(
        np.concatenate([part.logits for part in parts], axis=1),
        members=[name],
        class_names=parts[0].class_names,
        sample_ids=ids,
        labels=np.concatenate(labels) if len(labels) == len(parts) else None,
        folds=np.repeat(folds, [len(part) for part in parts]),
        who=name,
    )


def _mean(parts: Sequence[Predictions]) -> Predictions:
    named = [replace(part, members=(f"{number}",)) for number, part in enumerate(parts)]
    joined = Predictions.join(named)
    log_probabilities = joined.logits - _logsumexp(joined.logits, 2)
    mean = _logsumexp(log_probabilities, 0)[0] - np.log(len(parts))
    return replace(
        joined, members=parts[0].members, logits=mean[None].astype(np.float32), seen=joined.seen[:1]
    )


def _logsumexp(values: NDArray[Any], axis: int) -> NDArray[Any]:
    most = values.max(axis=axis, keepdims=True)
    return np.asarray(most + np.log(np.exp(values - most).sum(axis=axis, keepdims=True)))


def _read(path: Path, name: str, split: str) -> Predictions:
    return _arrays(path, name, split) if path.suffix == ARRAY else read(path, name)


def _arrays(path: Path, name: str, split: str) -> Predictions:
    """Return the predictions in an array `[N, C]`, with the ids, labels and classes in files beside it."""
    values = _array(path)
    if values.ndim != 2 or values.dtype.kind != "f":
        raise DataError(
            str(path), expected="an array of floats [N, C]", got=f"{values.dtype} {list(values.shape)}"
        )
    ids, labels = _beside(path, _IDS, split), _beside(path, _LABELS, split)
    if labels is not None and labels.ndim == 2:
        labels = labels[:, 0] if labels.shape[1] == 1 else labels.argmax(1)
    if ids is None and labels is None:
        raise UsageError(
            str(path),
            expected="a file of ids or labels beside it",
            got="none",
            todo="Save the names of the images in the order of the rows as ids.npy.",
        )
    sums = values.sum(axis=1, dtype=np.float64)
    make = (
        Predictions.from_probabilities
        if (values >= 0).all() and (abs(sums - 1) < 1e-3).all()
        else Predictions.from_logits
    )
    classes = next((path.parent / file for file in _CLASSES if (path.parent / file).is_file()), None)
    names = range(values.shape[1]) if classes is None else _names(classes)
    found = make(
        values, members=[name], class_names=[str(each) for each in names], sample_ids=ids, who=str(path)
    )
    return found if labels is None else replace(found, labels=_indices(labels, found, path))


def _indices(labels: NDArray[Any], found: Predictions, path: Path) -> NDArray[np.int64]:
    known = {each: place for place, each in enumerate(found.class_names)}
    known |= {str(place): place for place in range(len(known))} if labels.dtype.kind in "iuf" else {}
    texts = [str(int(each)) if labels.dtype.kind in "iuf" else str(each) for each in labels.tolist()]
    wrong = sorted({text for text in texts if text not in known})
    if wrong or len(texts) != len(found):
        raise DataError(
            f"{path.parent}: labels",
            expected=f"{len(found)} classes among {first_five(found.class_names)}",
            got=first_five(wrong) if wrong else f"{len(texts)} labels",
        )
    return np.array([known[text] for text in texts], np.int64)


def _names(path: Path) -> list[str]:
    """Return class names in the order of the columns; Keras writes `{name: index}`."""
    found = settings_in({"classes": read_settings(path)}).classes
    return list(found) if found else read_classes(path)


def _beside(path: Path, names: Sequence[str], split: str) -> NDArray[Any] | None:
    """Return an array or the lines of a text file beside `path`, such as `y_val.npy` or `labels.txt`."""
    stems = [text for name in names for text in (f"{split}_{name}", f"{name}_{split}", name)]
    for stem in stems:
        for suffix in (ARRAY, ".txt", ".csv"):
            file = path.with_name(stem + suffix)
            if file.is_file() and file != path:
                return _array(file) if suffix == ARRAY else _lines(file)
    return None


def _lines(path: Path) -> NDArray[Any]:
    text = path.read_text(encoding="utf-8-sig")
    return np.array([line.strip() for line in text.splitlines() if line.strip()])


def _array(path: Path) -> NDArray[Any]:
    try:
        return load_npy(path)
    except ValueError as error:
        raise DataError(str(path), expected="an array without Python objects", got=str(error)) from error
