"""The images of a data set that the rows of foreign predictions belong to, and the order of their columns."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError, first_five
from committee.images.dataset import Dataset
from committee.predictions.table import Predictions
from committee.tasks.base import task_of

Rows = NDArray[np.int64]
CLOSE = 1e-4
"""Relative difference of two numbers that are the same label, written with fewer digits."""
_NUMBERED = re.compile(r"\D*?(\d+)")


@dataclass(frozen=True, eq=False)
class Match:
    """The images and the classes of foreign predictions.

    Attributes
    ----------
    predictions : Predictions
        Those rows that are images of the data set, in the order of the data set.
    rows : int64 `[N]`
        The row of the data set of each of them, ascending.
    classes : tuple of str
        The class or target of the data set of each column; empty if it is not known.
    by : str
        What the rows were matched by: `id`, `file name`, `file name without suffix` or `row number`.
    left_out : int
        Number of rows that are no images of the data set.

    See Also
    --------
    match : Return it.
    """

    predictions: Predictions
    rows: Rows
    classes: tuple[str, ...]
    by: str
    left_out: int


def match(predictions: Predictions, dataset: Dataset) -> Match:
    """Match the rows of predictions with the images of a data set, by id or else by file name or row number.

    Row numbers, the index that pandas writes, count the images in the order of the data set, or those of its
    training split. They are used if the labels of the predictions confirm them.

    Raises
    ------
    DataError
        No row is an image of the data set, or labels differ.
    """
    problem: DataError | None = None
    for by, rows in _candidates(predictions, dataset):
        try:
            return _match(predictions, rows, dataset, by)
        except DataError as error:
            problem = problem or (error if by != ROW_NUMBER else None)
    raise problem or DataError(
        f"predictions of {first_five(predictions.members)}",
        expected=f"ids of images such as {first_five(dataset.sample_ids[:2].tolist())}",
        got=first_five(predictions.sample_ids.tolist()),
        todo="Write the paths of the images in a column 'id'.",
    )


def _candidates(predictions: Predictions, dataset: Dataset) -> list[tuple[str, Rows]]:
    """Return ways to match, with the row of each id or -1: first those that match all ids."""
    ids, known = predictions.sample_ids.tolist(), dataset.sample_ids.tolist()
    found = [(by, _rows_by(key, ids, known)) for by, key in _KEYS.items()]
    numbers = _row_numbers(ids)
    if numbers is not None and predictions.labels is not None and not dataset.quarantined:
        counted = (np.arange(len(known)), dataset.rows("train"))
        found += [(ROW_NUMBER, images[numbers]) for images in counted if len(images) == len(ids)]
    whole = [each for each in found if (each[1] >= 0).all()]
    if numbers is not None and predictions.labels is None:
        return whole  # Nothing shows that numbers of rows are not meant.
    return [*whole, *(each for each in found if (each[1] < 0).any() and (each[1] >= 0).any())]


ROW_NUMBER = "row number"
_KEYS: dict[str, Callable[[str], str]] = {
    "id": str,
    "file name": lambda name: PurePosixPath(name.replace("\\", "/")).name,
    "file name without suffix": lambda name: PurePosixPath(name.replace("\\", "/")).stem,
}


def _rows_by(key: Callable[[str], str], ids: Sequence[str], known: Sequence[str]) -> Rows:
    """Return the row of each id, -1 for none; keys that several images or ids have count for none."""
    own, theirs = [key(name) for name in known], [key(name) for name in ids]
    twice = {name for names in (own, theirs) for name, count in Counter(names).items() if count > 1}
    places = {name: row for row, name in enumerate(own) if name not in twice}
    return np.array([places.get(name, -1) for name in theirs], np.int64)


def _row_numbers(ids: Sequence[str]) -> Rows | None:
    """Return ids as row numbers, if they are 0 to N-1 in any order."""
    if not all(re.fullmatch(r"\d{1,9}", name) for name in ids):
        return None
    numbers = np.array([int(name) for name in ids], np.int64)
    return numbers if np.array_equal(np.sort(numbers), np.arange(len(ids))) else None


def _match(predictions: Predictions, rows: Rows, dataset: Dataset, by: str) -> Match:
    found = np.flatnonzero(rows >= 0)
    order = found[np.argsort(rows[found])]
    kept, rows = predictions.rows(order), rows[order]
    names = (_classes if task_of(kept).logits else _targets)(kept, rows, dataset)
    return Match(kept, rows, names, by, len(predictions) - len(order))


def _classes(predictions: Predictions, rows: Rows, dataset: Dataset) -> tuple[str, ...]:
    """Return the class of each column: by the labels of the rows, or by the names of the columns."""
    names, own = predictions.class_names, dataset.class_names
    if len(names) != len(own):
        raise DataError(
            f"predictions of {first_five(predictions.members)}",
            expected=f"{len(own)} classes, as in the data set",
            got=str(len(names)),
        )
    named = set(names) == set(own) and not _are_positions(names)
    if predictions.labels is None:
        return names if named or (set(names) == set(own) and _one_order(own)) else ()
    pairs = {
        (int(one), int(other)) for one, other in zip(predictions.labels, dataset.labels[rows], strict=True)
    }
    of = dict(pairs)
    if (
        len(of) < len(pairs)
        or len({*of.values()}) < len(of)
        or (named and any(names[a] != own[b] for a, b in pairs))
    ):
        raise _other_labels(predictions, rows, dataset)
    if len(of) == len(own):
        return tuple(own[of[place]] for place in range(len(own)))
    orders = [names] if named else orders_of(own)
    fitting = [each for each in orders if all(each[a] == own[b] for a, b in pairs)]
    return fitting[0] if len(fitting) == 1 else ()


def _targets(predictions: Predictions, rows: Rows, dataset: Dataset) -> tuple[str, ...]:
    """Return the target of each column: a single one, or by the names of the columns."""
    names, own, who = predictions.class_names, dataset.class_names, predictions.members
    if len(own) != len(names) or (len(own) > 1 and set(names) != set(own)):
        raise DataError(
            f"predictions of {first_five(who)}",
            expected=f"the targets of the data set, {first_five(own)}",
            got=first_five(names),
            todo="Name the columns after the targets.",
        )
    found = names if len(own) > 1 else own
    if predictions.labels is not None:
        theirs = dataset.labels[rows][:, [own.index(name) for name in found]]
        wrong = np.flatnonzero(~np.isclose(predictions.labels, theirs, rtol=CLOSE).all(axis=1))
        if len(wrong):
            first = int(wrong[0])
            one, other = (each[first].tolist() for each in (predictions.labels, theirs))
            raise DataError(
                f"predictions of {first_five(who)}",
                expected="the labels of the data set",
                got=f"others in {len(wrong)} of {len(rows)} rows: '{predictions.sample_ids[first]}' is "
                f"{one}, in the data set {other}",
                todo="Import predictions of the same images and labels.",
            )
    return found


def _other_labels(predictions: Predictions, rows: Rows, dataset: Dataset) -> DataError:
    """Return the error for a row whose label is not that of the data set."""
    labels = predictions.labels
    assert labels is not None
    theirs = dataset.labels[rows]
    usual = {
        place: Counter(theirs[labels == place].tolist()).most_common(1)[0][0] for place in np.unique(labels)
    }
    wrong = np.flatnonzero([usual[place] != other for place, other in zip(labels, theirs, strict=True)])
    first = int(wrong[0]) if len(wrong) else 0
    return DataError(
        f"predictions of {first_five(predictions.members)}",
        expected="the labels of the data set",
        got=f"others in {max(1, len(wrong))} of {len(rows)} rows: '{predictions.sample_ids[first]}' is "
        f"'{predictions.class_names[labels[first]]}', in the data set '{dataset.class_names[theirs[first]]}'",
        todo="Import predictions of the same images and labels.",
    )


def orders_of(class_names: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the different orders in which programs sort classes: as text, and with numbers as numbers."""
    by_text = tuple(sorted(class_names))
    by_number = tuple(sorted(class_names, key=_natural))
    return [by_text] if by_text == by_number else [by_text, by_number]


def _one_order(class_names: Sequence[str]) -> bool:
    return len(orders_of(class_names)) == 1


def _natural(name: str) -> list[tuple[bool, int, str]]:
    parts = re.split(r"(\d+)", name.lower())
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _are_positions(names: Sequence[str]) -> bool:
    """Return whether columns are numbered from 0, so that they may be positions and not names of classes."""
    found = [_NUMBERED.fullmatch(name) for name in names]
    return [int(each[1]) for each in found if each] == list(range(len(names)))
