"""Prediction files: what a format must give, and how a file becomes `Predictions`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from committee.base.registry import Family
from committee.errors import DataError, UsageError, first_five, nearest
from committee.predictions.checks import check_finite
from committee.predictions.table import Predictions
from committee.store.manifest import NAME, read_whole


@dataclass(frozen=True, eq=False)
class Table:
    """What a file holds: predictions of one model, or labels, or both.

    Attributes
    ----------
    ids : array [N]
        Names of the samples.
    values : float array [N, C] or None
        Probabilities or logits; None in a file of labels.
    is_probability : bool
        Which of the two `values` are.
    classes : array [C] or None
        Names of the columns of `values`; None where they are numbered.
    labels, folds, groups : array [N] or None
        Columns that may be there. Labels are class names or indices.
    seen : bool array [N] or None
        Rows that the model was trained on, where the file says so.
    """

    ids: NDArray[Any]
    values: NDArray[np.floating[Any]] | None = None
    is_probability: bool = True
    classes: NDArray[Any] | None = None
    labels: NDArray[Any] | None = None
    folds: NDArray[Any] | None = None
    groups: NDArray[Any] | None = None
    seen: NDArray[np.bool_] | None = None


class PredictionFile(ABC):
    """A file format.

    Attributes
    ----------
    suffixes : tuple of str
        Endings of its file names, with the dot, in lower case.
    """

    suffixes: ClassVar[tuple[str, ...]]

    @abstractmethod
    def read(self, path: Path) -> Table:
        """Read a file; nothing in it is executed or unpickled.

        Raises
        ------
        DataError
            The file is damaged, or is not laid out as the format asks.
        """


FILES: Family[PredictionFile] = Family("committee.predictions.files", "prediction file format")


def read(path: Path, name: str) -> Predictions:
    """Read the predictions of one model, as member `name`; or a folder that `Predictions.save` wrote.

    Raises
    ------
    UsageError
        There is no such file, or its ending is unknown.
    DataError
        Ids, classes, shapes or row sums do not fit.
    """
    if (path / "predictions.json").is_file():
        return _folder(path)
    table = _table(path)
    if table.values is None:
        raise DataError(
            str(path),
            expected="predictions: one column or array entry a class",
            got="ids and labels alone",
            todo="Name files of labels with --labels.",
        )
    make = Predictions.from_probabilities if table.is_probability else Predictions.from_logits
    classes = range(table.values.shape[-1]) if table.classes is None else table.classes
    found = make(
        table.values,
        members=[name],
        class_names=[str(each) for each in classes],
        sample_ids=table.ids,
        folds=table.folds,
        groups=table.groups,
        seen=None if table.seen is None else table.seen[None],
        who=str(path),
    )
    if table.labels is None:
        return found
    return found.with_labels(table.ids, table.labels, who=f"{path}: labels")


def read_labels(path: Path) -> Table:
    """Read ids and labels, and the folds and groups beside them.

    Raises
    ------
    UsageError
        There is no such file, or its ending is unknown.
    DataError
        There are no labels in it.
    """
    table = _table(path)
    if table.labels is None:
        raise DataError(
            str(path),
            expected="ids and labels",
            got="no labels",
            todo="CSV needs the columns id,label; NPZ the arrays ids and labels.",
        )
    return table


def member_names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each file: its stem or, where two are equal, as much of the path as tells them apart.

    Raises
    ------
    UsageError
        A file is named twice.
    """
    places = [path.resolve() for path in paths]
    again = sorted({str(path) for path, place in zip(paths, places, strict=True) if places.count(place) > 1})
    if again:
        raise UsageError("files", expected="each file once", got=f"several times {first_five(again)}")
    stems = [place.with_suffix("") if place.is_file() else place for place in places]
    for full in (stems, places):
        for depth in range(1, max(len(path.parts) for path in full)):
            names = ["/".join(path.parts[-depth:]) for path in full]
            if len(set(names)) == len(names):
                return names
    return [place.as_posix() for place in places]


def _folder(path: Path) -> Predictions:
    """Read a folder; one that a store wrote has checksums, one from elsewhere may hold anything."""
    stored = (path / NAME).exists()
    found = read_whole(path, Predictions.load) if stored else Predictions.load(path)
    check_finite(found.logits, found.sample_ids, str(path))
    return found


def _table(path: Path) -> Table:
    return _format_of(path).read(path)


def _format_of(path: Path) -> PredictionFile:
    if path.is_dir():
        raise UsageError(str(path), expected="a file, or a folder of saved predictions", got="another folder")
    if not path.is_file():
        raise UsageError(str(path), expected="a file", got="nothing there", todo=_neighbor(path))
    formats = [FILES.load(name) for name in FILES.names()]
    for each in formats:
        if path.suffix.lower() in each.suffixes:
            return each()
    known = sorted(suffix for each in formats for suffix in each.suffixes)
    raise UsageError(
        str(path),
        expected=f"a file name that ends in {', '.join(known)}",
        got=f"'{path.suffix}'",
        todo=nearest(path.suffix, known),
    )


def _neighbor(path: Path) -> str:
    folder = path.parent
    return nearest(path.name, sorted(other.name for other in folder.iterdir())) if folder.is_dir() else ""
