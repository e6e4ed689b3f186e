"""Names of samples, classes and groups, matched as text; and when a number is a position.

7, 7.0 and "7" are the same name, whatever file they come from. An empty text, NaN or None is a missing value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.base.text import wrong_rows
from committee.errors import DataError, first_five, nearest
from committee.predictions.checks import check_labels, check_unique
from committee.untrusted.growth import check_text, text_array

NAN = ("nan", "NaN")
WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_NUMBERED = re.compile(r"(.*?)([0-9]{1,9})", re.DOTALL)


def as_text(values: ArrayLike, who: str) -> NDArray[np.str_]:
    """Return names `[N]` as text; the text of a missing value is empty.

    Raises
    ------
    DataError
        The array has more than one axis, or a value is neither text nor a whole number.
    """
    array = np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "USiufO":
        raise _no_names(who, f"an array {list(array.shape)} of {array.dtype}")
    try:
        if array.dtype.kind == "S":
            array = np.char.decode(array, "utf-8")
        if array.dtype.kind in "fO":
            array = text_array([_text(value, who) for value in array.tolist()])
        return array.astype(np.str_) if array.dtype.kind in "iu" else check_text(array)
    except UnicodeDecodeError as error:
        raise DataError(who, expected="Unicode text", got="invalid bytes") from error
    except DataError:
        raise
    except ValueError as error:
        raise DataError(who, expected="a list of names", got=str(error).splitlines()[0]) from error


def required(names: NDArray[np.str_], who: str) -> NDArray[np.str_]:
    """Return names, or raise a DataError that lists the rows without one."""
    known = names != ""
    if not known.all():
        raise DataError(who, expected="a value in each row", got=f"none{wrong_rows(known)}")
    return names


def class_indices(
    labels: ArrayLike, class_names: Sequence[str], who: str, labels_are: str | None = "names"
) -> NDArray[np.int64]:
    """Return class indices, int64 `[N]`.

    Labels are class names. If all classes are numbered (`prob_0`, `prob_1`, ...), their numbers are names
    too. Whole numbers are positions only if the caller says so. With `labels_are` None, for arrays of whole
    numbers beside the class names, they are positions if the classes have no numbers, or 0 to C-1 in order.

    Raises
    ------
    DataError
        A label is not a class; the message shows both readings of whole numbers.
    """
    given, numbers = np.asarray(labels), class_numbers(class_names)
    in_order = numbers == list(range(len(class_names)))
    if given.dtype.kind in "iu":
        if labels_are is None and numbers is not None and not in_order:
            raise _two_readings(given, class_names, numbers, who)
        if labels_are != "names":
            found = check_labels(given, len(given), len(class_names), who)
            assert found is not None
            return found
    names, row = np.unique(as_text(given, who), return_inverse=True)
    known = {str(place): place for place in range(len(class_names))}
    if labels_are == "positions":
        _check_positions(names, len(class_names), who)
    else:
        known = _by_name(class_names, numbers, names.tolist())
    unknown = [name for name in names.tolist() if name not in known]
    if unknown:
        raise _unknown(unknown, names.tolist(), class_names, who)
    return np.array([known[name] for name in names.tolist()], np.int64)[row]


def class_numbers(names: Sequence[str]) -> list[int] | None:
    """Return the numbers of names that differ by nothing else, such as `prob_0`, `prob_1`; else None.

    Examples
    --------
    >>> from committee.predictions.names import class_numbers
    >>> class_numbers(["p10", "p2"]), class_numbers(["cat", "dog"]), class_numbers(["a1", "b2"])
    ([10, 2], None, None)
    """
    found = [_NUMBERED.fullmatch(name) for name in names]
    parts = [(match[1], int(match[2])) for match in found if match is not None]
    if len(parts) < len(names) or len({stem for stem, _ in parts}) > 1:
        return None
    numbers = [number for _, number in parts]
    return numbers if len({*numbers}) == len(numbers) else None


def unique_ids(values: ArrayLike, who: str, rows: int | None = None) -> NDArray[np.str_]:
    """Return sample ids as text, or raise a DataError if one is missing, or occurs twice."""
    ids = as_text(values, who)
    if rows is not None and len(ids) != rows:
        raise DataError(who, expected=f"{rows} ids, one for each row", got=str(ids.size))
    check_unique(required(ids, who), who)
    return ids


def label_column(
    labels: ArrayLike | None, rows: int, class_names: Sequence[str], who: str, labels_are: str | None
) -> NDArray[np.int64] | None:
    """Return class indices, int64 `[N]`, of labels that were given beside the class names."""
    if labels is None:
        return None
    given = np.asarray(labels)
    if given.shape != (rows,):
        raise DataError(
            who,
            expected=f"{rows} values, one for each row",
            got=f"an array {list(given.shape)}",
            todo="Give the class of each row: labels.argmax(1)." if given.ndim == 2 else "",
        )
    if given.dtype.kind in "fb":
        missing = given.dtype.kind == "f" and bool(np.isnan(given).any())
        raise DataError(
            who,
            expected="whole numbers",
            got=f"NaN{wrong_rows(~np.isnan(given))}" if missing else f"an array of {given.dtype}",
            todo="Leave out the rows without a label." if missing else "Convert them: labels.astype(int).",
        )
    if given.dtype.kind == "O":
        required(as_text(given, who), who)
    return class_indices(given, [str(name) for name in class_names], who, labels_are)


def group_numbers(groups: ArrayLike | None, rows: int, who: str) -> NDArray[np.int64] | None:
    """Return groups as int64 `[N]`: whole numbers stay, other names are replaced by their sorted positions.

    A row without a group is a group of its own.
    """
    if groups is None:
        return None
    array = np.asarray(groups)
    if array.shape != (rows,):
        raise DataError(who, expected=f"{rows} values, one for each row", got=f"an array {list(array.shape)}")
    if array.dtype.kind in "iu":
        return array.astype(np.int64, copy=False)
    text = as_text(array, who)
    text = np.where(np.isin(text, NAN), "", text)  # NumPy makes text of NaN beside names
    names, numbers = np.unique(text, return_inverse=True)
    if all(WHOLE.fullmatch(name) for name in names.tolist() if name):
        numbers = np.array([int(name or 0) for name in names.tolist()], np.int64)[numbers]
    lacking = np.flatnonzero(text == "")
    if len(lacking) == rows:
        return np.arange(rows)
    numbers[lacking] = numbers[text != ""].max() + 1 + np.arange(len(lacking))
    return numbers.astype(np.int64, copy=False)


def _text(value: Any, who: str) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise _no_names(who, repr(value)[:60])
    return str(value)


def _no_names(who: str, got: str) -> DataError:
    return DataError(who, expected="text or whole numbers", got=got)


def _by_name(
    class_names: Sequence[str], numbers: Sequence[int] | None, labels: Sequence[str]
) -> dict[str, int]:
    """Return the places of the classes by name; by number, too, if the classes or the labels are numbered."""
    known = {name: place for place, name in enumerate(class_names)}
    if numbers is None or all(name in known for name in labels):
        return known
    by_number = {number: place for place, number in enumerate(numbers)}
    own = class_numbers(labels)
    plain = all(WHOLE.fullmatch(name) for name in class_names) or all(
        WHOLE.fullmatch(name) for name in labels
    )
    if own is not None and plain:
        known.update(
            {name: by_number[number] for name, number in zip(labels, own, strict=True) if number in by_number}
        )
    return known


def _check_positions(names: NDArray[np.str_], classes: int, who: str) -> None:
    wrong = [name for name in names.tolist() if not WHOLE.fullmatch(name)]
    if wrong:
        raise DataError(who, expected="whole numbers, which are positions", got=first_five(wrong))
    places = [int(name) for name in names.tolist()]
    if places and not 0 <= min(places) <= max(places) < classes:
        got = min(places) if min(places) < 0 else max(places)
        raise DataError(who, expected=f"class indices 0 to {classes - 1}", got=str(got))


def _unknown(
    unknown: Sequence[str], labels: Sequence[str], class_names: Sequence[str], who: str
) -> DataError:
    numbered = [*class_names] == [str(place) for place in range(len(class_names))]
    todo = "Name the classes in the predictions." if numbered else nearest(unknown[0], class_names)
    if not numbered and all(WHOLE.fullmatch(name) and 0 <= int(name) < len(class_names) for name in labels):
        pairs = ", ".join(f"{name} is '{class_names[int(name)]}'" for name in labels[:3])
        todo = f"If these are positions ({pairs}), say so: --labels-are positions, or labels_are='positions'."
    return DataError(
        who, expected=f"classes among {first_five(class_names)}", got=first_five(unknown), todo=todo
    )


def _two_readings(
    labels: NDArray[Any], class_names: Sequence[str], numbers: Sequence[int], who: str
) -> DataError:
    label = int(labels[0])
    by_name = f"the class '{class_names[numbers.index(label)]}'" if label in numbers else "no class"
    inside = 0 <= label < len(class_names)
    by_place = f"the class '{class_names[label]}'" if inside else "no class"
    return DataError(
        who,
        expected="class names, since the names of the classes are numbers in another order",
        got=f"whole numbers: {label} is {by_name} by name, and {by_place} by position",
        todo="Say which is meant: labels_are='names' or labels_are='positions'.",
    )
