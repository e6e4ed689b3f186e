"""The base class of prediction file formats, and the functions that read predictions and labels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from committee.base.registry import Family
from committee.errors import DataError, UsageError, first_five, missing, nearest
from committee.predictions.checks import check_finite
from committee.predictions.table import Predictions
from committee.store.manifest import NAME, read_whole


@dataclass(frozen=True, eq=False)
class Table:
    """The content of a file: predictions of one model, or labels, or both.

    Attributes
    ----------
    ids : array [N]
        Names of the samples.
    values : float array [N, C] or None
        Probabilities or logits; None in a file of labels.
    is_probability : bool
        Whether `values` are probabilities, and not logits.
    classes : array [C] or None
        Names of the columns of `values`; None if they are numbered.
    labels, folds, groups : array [N] or None
        Optional columns. Labels are class names or class indices.
    seen : bool array [N] or None
        Whether the model was trained on each row, if the file has this column.

    See Also
    --------
    PredictionFile : The formats that a table is read from.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.predictions.files import Table
    >>> table = Table(np.array(["x", "y"]), values=np.array([[0.9, 0.1], [0.2, 0.8]]))
    >>> table.is_probability, table.classes is None
    (True, True)
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
    """Base class of file formats for predictions and labels.

    Attributes
    ----------
    suffixes : tuple of str
        File name extensions of the format, in lower case and with the dot.

    See Also
    --------
    read : Read predictions in any format.
    read_labels : Read labels in any format.

    Examples
    --------
    A format with a row `id,probability` for each sample, for two classes:

    >>> import numpy as np
    >>> from committee.predictions.files import PredictionFile, Table
    >>> class Pairs(PredictionFile):
    ...     suffixes = (".pairs",)
    ...
    ...     def read(self, path):
    ...         ids, second = np.loadtxt(path, dtype=str, delimiter=",", unpack=True)
    ...         probability = second.astype(float)
    ...         return Table(ids, values=np.stack([1 - probability, probability], axis=1))
    """

    suffixes: ClassVar[tuple[str, ...]]

    @abstractmethod
    def read(self, path: Path) -> Table:
        """Read a file; nothing in it is executed or unpickled.

        Raises
        ------
        DataError
            The file is damaged, or its content does not match the format.
        """


FILES: Family[PredictionFile] = Family("committee.predictions.files", "prediction file format")


def read(path: Path, name: str) -> Predictions:
    """Read the predictions of one model.

    Parameters
    ----------
    path : Path
        A file, or a folder that `Predictions.save` wrote.
    name : str
        Name of the member. A folder has the names of its members.

    Raises
    ------
    UsageError
        The file does not exist, or its format is unknown.
    DataError
        Ids, classes, shapes or sums of rows are not valid.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from committee.predictions.files import read
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "resnet.csv"
    ...     _ = path.write_text("id,cat,dog,label\\nx,0.9,0.1,cat\\ny,0.2,0.8,dog\\n")
    ...     rows = read(path, "resnet")
    >>> rows.class_names, rows.labels.tolist()
    (('cat', 'dog'), [0, 1])
    """
    if (path / "predictions.json").is_file():
        return _folder(path)
    table = _table(path)
    if table.values is None:
        raise DataError(
            str(path),
            expected="predictions, with one column for each class",
            got="ids and labels only",
            todo="Give files of labels with --labels.",
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
    """Read ids and labels, and optional folds and groups.

    Raises
    ------
    UsageError
        The file does not exist, or its format is unknown.
    DataError
        The file has no labels.
    """
    table = _table(path)
    if table.labels is None:
        raise DataError(
            str(path),
            expected="ids and labels",
            got="no labels",
            todo="A CSV file needs the columns id and label, an NPZ file the arrays ids and labels.",
        )
    return table


def member_names(paths: Sequence[Path]) -> list[str]:
    """Return a name for each file: its stem or, if stems are equal, as much of the path as makes it unique.

    Raises
    ------
    UsageError
        A file occurs more than once.
    """
    places = [path.resolve() for path in paths]
    again = sorted({str(path) for path, place in zip(paths, places, strict=True) if places.count(place) > 1})
    if again:
        raise UsageError("files", expected="distinct files", got=f"duplicates of {first_five(again)}")
    stems = [place.with_suffix("") if place.is_file() else place for place in places]
    for full in (stems, places):
        for depth in range(1, max(len(path.parts) for path in full)):
            names = ["/".join(path.parts[-depth:]) for path in full]
            if len(set(names)) == len(names):
                return names
    return [place.as_posix() for place in places]


def _folder(path: Path) -> Predictions:
    """Read a folder of saved predictions; the checksums are verified if it is part of a store."""
    stored = (path / NAME).exists()
    found = read_whole(path, Predictions.load) if stored else Predictions.load(path)
    check_finite(found.logits, found.sample_ids, str(path))
    return found


def _table(path: Path) -> Table:
    return _format_of(path).read(path)


def _format_of(path: Path) -> PredictionFile:
    if path.is_dir():
        raise UsageError(
            str(path), expected="a file, or a folder of saved predictions", got="another kind of folder"
        )
    if not path.is_file():
        raise missing(UsageError, path, _similar_name(path))
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


def _similar_name(path: Path) -> str:
    folder = path.parent
    return nearest(path.name, sorted(other.name for other in folder.iterdir())) if folder.is_dir() else ""
