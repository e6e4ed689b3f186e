"""Shared code of tables with named columns, CSV and Parquet: what each column is."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.base.csv_cells import unescape
from committee.errors import DataError, first_five, nearest
from committee.predictions.files._arrays import truths
from committee.predictions.files.base import PredictionFile, Table
from committee.predictions.names import class_numbers, required
from committee.predictions.target_types import NUMBERS

log = logging.getLogger(__name__)

ID = "id"
KNOWN = ("label", "fold", "group", "seen")
IDS = (
    *("image_id", "imageid", "sample_id", "img_id", "image_name", "img_name", "image", "img"),
    *("filename", "file_name", "file", "filepath", "file_path", "path"),
)
"""Usual names of the column of ids, in lower case, for tables without a column `id`."""
INDEX = re.compile(r"(|Unnamed: \d+(\.\d+)?|__index_level_\d+__|index)")
"""Names that pandas gives the column of its row numbers."""
MODEL = "model"
"""The last column of numbers that `committee predict` writes; it is left out."""
CLASS = "class:"
"""Prefix of the class columns of a table in which a class has the name of another column."""
_SCORE = re.compile(
    r"(p|probs?|proba|probability|preds?|prediction|scores?|logits?|outputs?)[_ .-]?[0-9]+", re.I
)


@dataclass(frozen=True)
class Header:
    """What the columns of a table are.

    Attributes
    ----------
    id : str
        The column of sample ids.
    is_index : bool
        Whether that is the index of pandas, which may be a row number.
    special : mapping of str to str
        The columns of labels, folds, groups and `seen`, by these names.
    classes : tuple of str
        The class columns, sorted by number if they are numbered.
    others : tuple of str
        Columns that are left out: further ids and indices.
    """

    id: str
    is_index: bool
    special: Mapping[str, str]
    classes: tuple[str, ...]
    others: tuple[str, ...]

    @property
    def texts(self) -> list[str]:
        """The columns that are read as text, with those that might be classes."""
        return [self.id, *self.special.values(), *self.others]

    @property
    def class_names(self) -> NDArray[np.str_] | None:
        """The names of the classes; None if the columns are `p0`, `p1`, ..."""
        if len(self.classes) > 1 and are_numbered(self.classes):
            return None
        return np.array(self.columns)

    @property
    def columns(self) -> list[str]:
        """The names of the class columns, without the prefix of classes that have the name of another one."""
        names = [unescape(name) for name in self.classes]
        prefixed = all(name.startswith(CLASS) for name in names)
        return [name.removeprefix(CLASS) for name in names] if prefixed else names


def read_header(
    names: Sequence[str], file: PredictionFile, who: str, scores: frozenset[str] = frozenset()
) -> Header:
    """Return what the columns are.

    Parameters
    ----------
    names : sequence of str
        Names of all columns.
    file : PredictionFile
        Names the columns of ids and labels, if the caller knows them.
    who : str
        The file, for error messages.
    scores : set of str
        Columns that are classes, whatever their names are, because they hold probabilities (`is_score`).

    Raises
    ------
    DataError
        There is no column of ids, or two columns have the same name.
    """
    again = sorted(name for name, count in Counter(names).items() if count > 1)
    if again:
        raise DataError(who, expected="unique column names", got=f"duplicates of {first_five(again)}")
    able = [name for name in names if name not in scores]
    own, predicted = _id_column(able, file.id_column, who), _of_predict(names)
    special = {}
    for name in KNOWN:
        found = _label_column(able, file.label_column, who) if name == "label" else _match(able, name)
        if found is not None and found != own and found not in predicted:
            special[name] = found
    rest = [name for name in names if name not in {own, *special.values(), *predicted}]
    others = [name for name in rest if name in able and (INDEX.fullmatch(name) or name.lower() in (ID, *IDS))]
    if MODEL == names[-1] != names[1] and MODEL in able and MODEL in rest[1:]:  # after numbers
        others.append(MODEL)
    classes = [name for name in rest if name not in others]
    if file.target_type is NUMBERS and not (classes or file.labels_only) and file.label_column in names:
        classes = [special.pop("label")]  # the predictions have the name of the target
    numbers = class_numbers(classes)
    if numbers is not None:
        classes = [name for _, name in sorted(zip(numbers, classes, strict=True))]
    return Header(own, bool(INDEX.fullmatch(own)), special, tuple(classes), tuple(others))


def are_numbered(classes: Sequence[str]) -> bool:
    """Return whether the columns are `p0`, `p1`, ... or `prob_0`, `prob_1`, ..., classes without names."""
    numbers = class_numbers(classes)
    in_order = numbers is not None and sorted(numbers) == list(range(len(classes)))
    return in_order and all(map(_SCORE.fullmatch, classes))


def targets(header: Header, file: PredictionFile) -> tuple[str, ...]:
    """Return the columns of a file of labels that may be true numbers, besides that of the label."""
    needed = file.target_type is NUMBERS or "label" not in header.special
    return header.classes if file.labels_only and needed else ()


def scores_among(header: Header, file: PredictionFile, columns: Mapping[str, Any]) -> frozenset[str]:
    """Return the columns of text that are scores in spite of their names; `model` alone among numbers."""
    read = {name: columns[name] for name in header.texts if name in columns}
    found = {name for name in read if file.target_type is not NUMBERS and is_score(read[name])}
    found |= {name for name in header.others if name == MODEL and _are_numbers(read.get(name, ("",)))}
    return frozenset(found - {file.id_column, file.label_column})


def _are_numbers(cells: Sequence[object]) -> bool:
    try:
        return bool([float(str(cell)) for cell in cells])
    except ValueError:
        return False


def is_special(name: str) -> bool:
    """Return whether a column of this name might be read as another one than a class."""
    others = (ID, *IDS, *KNOWN, "prediction", "prediction_set", "model")
    return name.strip().lower() in others or bool(INDEX.fullmatch(name.strip()))


def is_score(cells: Sequence[object]) -> bool:
    """Return whether the cells are numbers from 0 to 1 with fractions, so that they are probabilities."""
    try:
        values = [float(str(cell)) for cell in cells]
    except ValueError:
        return False
    return all(0 <= value <= 1 for value in values) and not all(value.is_integer() for value in values)


def table(
    columns: Mapping[str, NDArray[Any]],
    values: NDArray[np.floating[Any]] | None,
    header: Header,
    who: str,
    further: Sequence[str] = (),
) -> Table:
    """Return a table from its columns of text by their own names, and its class columns `[N, C]`.

    `further` are columns of text that may be true numbers.
    """
    special = {name: columns[own] for name, own in header.special.items()}
    folds = special.get("fold")
    named = [name for name in header.others if not INDEX.fullmatch(name)]
    if named:
        log.info("%s: the columns %s are left out", who, first_five(named))
    return Table(
        required(columns[header.id], f"{who}: column '{header.id}'"),
        values if len(header.classes) else None,
        classes=header.class_names,
        columns=tuple(header.columns),
        labels=special.get("label"),
        label_column=header.special.get("label", "label"),
        further={unescape(name): columns[name] for name in further},
        folds=None if folds is None else _whole(folds, f"{who}: column '{header.special['fold']}'"),
        groups=special.get("group"),
        seen=truths(special["seen"], f"{who}: column 'seen'") if "seen" in special else None,
        ids_are_index=header.is_index,
    )


def _id_column(names: Sequence[str], wanted: str | None, who: str) -> str:
    if wanted is not None and wanted in names:
        return wanted
    known = (_match(names, name) for name in (ID, *IDS))
    index = (name for name in names if INDEX.fullmatch(name))
    found = next((name for name in (*known, *index) if name is not None), None)
    if found is None:
        name = wanted or ID
        raise DataError(
            who,
            expected=f"a column '{name}'",
            got=f"the columns {first_five(names)}",
            todo=nearest(name, names) or "Name the column of ids: --id-column NAME.",
        )
    if wanted is not None:
        log.info("%s: there is no column '%s': ids are in '%s'", who, wanted, found)
    return found


def _label_column(names: Sequence[str], wanted: str | None, who: str) -> str | None:
    if wanted is not None and wanted in names:
        return wanted
    found = _match(names, "label")
    if wanted is not None and found is not None:
        log.info("%s: there is no column '%s': labels are in '%s'", who, wanted, found)
    return found


def _match(names: Sequence[str], wanted: str) -> str | None:
    """Return the column of a name, in any case if no other has it exactly."""
    return next((name for name in names if name == wanted), None) or next(
        (name for name in names if name.lower() == wanted), None
    )


def _of_predict(names: Sequence[str]) -> set[str]:
    """Return the columns that `committee predict` adds: after the id, and at the end."""
    if list(names[1:2]) != ["prediction"] or names[-1] != "model":
        return set()
    return {"prediction", "model", *(["prediction_set"] if names[2] == "prediction_set" else [])}


def _whole(values: NDArray[Any], who: str) -> NDArray[np.int64]:
    wrong = [text for text in values.tolist() if not re.fullmatch(r"-?[0-9]{1,18}", text)]
    if wrong:
        raise DataError(who, expected="whole numbers", got=first_five(dict.fromkeys(wrong)))
    return values.astype(np.int64)
