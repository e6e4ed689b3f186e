"""The base class of prediction file formats, and the functions that read predictions and labels."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from committee.base.registry import Family
from committee.errors import DataError, UsageError, first_five, missing, nearest
from committee.predictions.checks import check_finite
from committee.predictions.names import as_text
from committee.predictions.probabilities import two_columns
from committee.predictions.reading import DEFAULT, Reading
from committee.predictions.table import Predictions
from committee.predictions.target_types import NUMBERS, TargetType
from committee.predictions.targets import number_predictions, true_numbers
from committee.store.manifest import NAME, read_whole

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Table:
    """The content of a file: predictions of one model, or labels, or both.

    Attributes
    ----------
    ids : array [N]
        Names of the samples.
    values : float array [N, C] or None
        Probabilities, logits or numbers; None in a file of labels.
    is_probability : bool
        Whether `values` are probabilities, and not logits.
    classes : array [C] or None
        Names of the columns of `values`; None if they are numbered.
    target_type : TargetType or None
        What labels are, if the names of the arrays say it; columns of a table do not.
    columns : tuple of str
        Names of the columns of `values` as they are in the file; empty if they have none.
    labels, folds, groups : array [N] or None
        Optional columns. A missing value is blank, NaN or None. Labels of several targets are `[N, T]`.
    label_column : str
        The name of the column of the labels in the file.
    further : mapping of str to array [N]
        Other columns of a file of labels, which may be true numbers.
    seen : bool array [N] or None
        Whether the model was trained on each row, if the file has this column.
    ids_are_index : bool
        Whether `ids` are the unnamed index of pandas, which may start again in each file.

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
    target_type: TargetType | None = None
    columns: tuple[str, ...] = ()
    labels: NDArray[Any] | None = None
    label_column: str = "label"
    further: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    folds: NDArray[Any] | None = None
    groups: NDArray[Any] | None = None
    seen: NDArray[np.bool_] | None = None
    ids_are_index: bool = False


class PredictionFile(ABC):
    """Base class of file formats for predictions and labels.

    Attributes
    ----------
    suffixes : tuple of str
        File name extensions of the format, in lower case and with the dot.
    id_column, label_column : str or None
        Names of the columns of ids and labels, if the caller gave them.
    labels_only : bool
        Whether scores are not needed, so that other columns may hold anything.
    target_type : TargetType or None
        Whether labels are classes or numbers, if the caller knows it.
    on_disk : bool
        Whether scores are memory-mapped, where the format allows it.

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
    id_column: str | None = None
    label_column: str | None = None
    labels_only: bool = False
    target_type: TargetType | None = None
    on_disk: bool = False

    @abstractmethod
    def read(self, path: Path) -> Table:
        """Read a file; nothing in it is executed or unpickled.

        Raises
        ------
        DataError
            The file is damaged, or its content does not match the format.
        """


FILES: Family[PredictionFile] = Family("committee.predictions.files", "prediction file format")


def read(path: Path, name: str, reading: Reading = DEFAULT) -> Predictions:
    """Read the predictions of one model.

    Parameters
    ----------
    path : Path
        A file, or a folder that `Predictions.save` wrote.
    name : str
        Name of the member. A folder has the names of its members.
    reading : Reading
        What the caller knows about the columns.

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
    if is_saved(path):
        found = _folder(path)
        _check_type(found.target_type, reading, str(path))
        return found
    return to_predictions(read_table(path, reading), name, str(path), reading)


def read_table(path: Path, reading: Reading = DEFAULT, *, labels_only: bool = False) -> Table:
    """Read a file as it is; raise what `read` raises."""
    file = _format_of(path)
    file.id_column, file.label_column = reading.id_column, reading.label_column
    file.labels_only, file.target_type = labels_only, reading.target_type
    file.on_disk = reading.on_disk and not labels_only
    return file.read(path)


def to_predictions(table: Table, name: str, who: str, reading: Reading = DEFAULT) -> Predictions:
    """Return the predictions of a table under the name of a member.

    Raises
    ------
    DataError
        There are no scores; or ids, classes, shapes or sums of rows are not valid.
    """
    if table.values is None:
        raise DataError(
            who,
            expected="predictions, with one column for each class",
            got="ids and labels only",
            todo="Give files of labels with --labels.",
        )
    _check_type(table.target_type, reading, who)
    if (reading.target_type or table.target_type) is NUMBERS:
        return number_predictions(table, name, who)
    return _class_predictions(table, table.values, name, who, reading)


def _check_type(found: TargetType | None, reading: Reading, who: str) -> None:
    wanted = reading.target_type
    if wanted is not None and found is not None and found is not wanted:
        raise DataError(who, expected=f"predictions of {wanted.name}", got=f"those of {found.name}")


def _class_predictions(
    table: Table, values: NDArray[np.floating[Any]], name: str, who: str, reading: Reading
) -> Predictions:
    sure = reading.values_are is not None
    are_probabilities = reading.values_are == "probabilities" if sure else table.is_probability
    classes = range(values.shape[-1]) if table.classes is None else table.classes.tolist()
    names = [str(each) for each in classes]
    if values.ndim == 2 and values.shape[1] == 1:
        given = None if table.classes is None else names
        values, names = two_columns(values, given, are_probabilities, who)
    rest: dict[str, Any] = {
        "members": [name],
        "class_names": names,
        "sample_ids": table.ids,
        "folds": table.folds,
        "groups": table.groups,
        "seen": None if table.seen is None else table.seen[None],
        "who": who,
    }
    if are_probabilities:
        found = Predictions.from_probabilities(values, **rest)
    else:
        found = Predictions.from_logits(values, are_logits=sure, **rest)
    return found if table.labels is None else _labeled(found, table, who, reading)


def _labeled(found: Predictions, table: Table, who: str, reading: Reading) -> Predictions:
    """Return predictions with labels in the same order; if all labels are missing, without labels."""
    assert table.labels is not None
    title = f"column '{table.label_column}'" if table.columns else "labels"
    labels = as_text(table.labels, f"{who}: {title}")
    if not (labels != "").any():
        return found
    lacking = found.sample_ids[labels == ""]
    if len(lacking):
        raise DataError(
            f"{who}: column 'label'",
            expected="a value in each row, or in none",
            got=f"none in {len(lacking)} of {len(labels)} rows, {first_five(lacking)}",
            todo="Remove these rows, or leave the labels to another file: --labels FILE.",
        )
    return found.with_labels(found.sample_ids, labels, labels_are=reading.labels_are, who=f"{who}: labels")


def read_labels(path: Path, reading: Reading = DEFAULT, targets: Sequence[str] = ()) -> Table:
    """Read ids and labels, and optional folds and groups; rows without a class are left out.

    Parameters
    ----------
    path : Path
    reading : Reading
        What the caller knows about the columns; its `target_type` says whether labels are numbers.
    targets : sequence of str
        The targets of the predictions. Labels are their numbers, float64 `[N, T]`, and `columns` their names.

    Raises
    ------
    UsageError
        The file does not exist, or its format is unknown.
    DataError
        The file has no labels, or a row has no finite number.
    """
    table = read_table(path, reading, labels_only=True)
    if reading.target_type is NUMBERS:
        if reading.label_column is not None and table.labels is None:
            raise DataError(
                str(path),
                expected=f"a column '{reading.label_column}'",
                got=f"the columns {first_five(table.further)}",
                todo=nearest(reading.label_column, table.further),
            )
        names, numbers = true_numbers(table, targets, str(path))
        return replace(table, labels=numbers, columns=names)
    if table.labels is None:
        raise DataError(
            str(path),
            expected="ids and labels",
            got="no labels",
            todo="A CSV file needs the columns id and label, an NPZ file the arrays ids and labels."
            + (f" It has no {reading.label_column}." if reading.label_column else ""),
        )
    labeled = as_text(table.labels, f"{path}: labels") != ""
    if labeled.all():
        return table
    log.warning("%s: %d of %d rows have no label and are left out", path, (~labeled).sum(), len(labeled))
    return replace(
        table,
        ids=table.ids[labeled],
        values=None,
        labels=table.labels[labeled],
        folds=None if table.folds is None else table.folds[labeled],
        groups=None if table.groups is None else table.groups[labeled],
        seen=None,
    )


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


def is_saved(path: Path) -> bool:
    """Return whether a path is a folder that `Predictions.save` wrote."""
    return (path / "predictions.json").is_file()


def _folder(path: Path) -> Predictions:
    """Read a folder of saved predictions; the checksums are verified if it is part of a store."""
    stored = (path / NAME).exists()
    found = read_whole(path, Predictions.load) if stored else Predictions.load(path)
    check_finite(found.logits, found.sample_ids, str(path))
    return found


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
