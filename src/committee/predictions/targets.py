"""Numbers in prediction files: predictions of targets, and the columns of true numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError, first_five, nearest
from committee.predictions.table import Predictions

if TYPE_CHECKING:
    from committee.predictions.files.base import Table

ONE = "prediction"
"""Name of the only target if files give it several names, and labels give it none."""
LABEL = "label"
Floats = NDArray[np.float64]


def number_predictions(table: Table, name: str, who: str) -> Predictions:
    """Return the predictions of a table of numbers; the labels are those of the table, if it has any.

    Raises
    ------
    DataError
        A prediction is not finite, a label is no number, or shapes do not match.
    """
    assert table.values is not None
    values = np.asarray(table.values)
    names = table.columns or tuple(map(str, range(values.shape[1])))
    if len(names) != values.shape[1]:
        raise DataError(
            f"{who}: target_names",
            expected=f"{values.shape[1]} names, one for each target",
            got=str(len(names)),
        )
    for column, title in zip(values.T, names, strict=True):
        _require_finite(column.tolist(), np.isfinite(column), table.ids, f"{who}: column '{title}'")
    found = Predictions.from_values(
        values,
        members=[name],
        target_names=names,
        sample_ids=table.ids,
        folds=table.folds,
        groups=table.groups,
        seen=None if table.seen is None else table.seen[None],
        who=who,
    )
    if table.labels is None or all(map(_is_missing, np.ravel(table.labels).tolist())):
        return found
    return found.with_labels(found.sample_ids, _label_numbers(table, who), who=f"{who}: {table.label_column}")


def true_numbers(table: Table, names: Sequence[str], who: str) -> tuple[tuple[str, ...], Floats]:
    """Return the names of the targets `[T]` and their true numbers `[N, T]`, from a table of labels.

    Parameters
    ----------
    table : Table
        A column `label`, or that which the caller named, or columns with the names of the targets. For one
        target, the only column may have any name.
    names : sequence of str
        The targets of the predictions.
    who : str
        The file, for error messages.

    Raises
    ------
    DataError
        A target has no column, or a row has no finite number.
    """
    if table.labels is not None and table.labels.ndim == 2:
        return _in_order(table.columns or names, _label_numbers(table, who), names, who)
    own = {} if table.labels is None else {table.label_column: table.labels}
    columns = {**table.further, **own}
    chosen = [*own] if own and len(names) == 1 else list(names)
    if len(names) == len(columns) == 1:
        chosen = [*columns]
    lacking = [name for name in chosen if name not in columns]
    if lacking:
        raise _no_column(lacking, columns, len(names), who)
    numbers = [_numbers(columns[name], table.ids, f"{who}: column '{name}'") for name in chosen]
    return tuple(chosen), np.stack(numbers, axis=1)


def named_alike(parts: Sequence[Predictions]) -> list[Predictions]:
    """Return predictions of one target each with the same name of it; others stay as they are."""
    titles = {part.class_names for part in parts}
    if len(titles) == 1 or any(len(names) > 1 for names in titles):
        return list(parts)
    return [renamed(part, (ONE,)) for part in parts]


def renamed(predictions: Predictions, names: Sequence[str]) -> Predictions:
    """Return predictions of one target under another name; those of several outputs stay as they are."""
    if len(predictions.class_names) > 1 or tuple(names) == predictions.class_names or len(names) > 1:
        return predictions
    return replace(predictions, class_names=tuple(names))


def floats(cells: NDArray[Any]) -> Floats:
    """Return cells as float64 `[N]`; those that are no numbers are NaN."""
    try:
        return np.asarray(cells).astype(np.float64)
    except (TypeError, ValueError):
        return np.array([_number(cell) for cell in np.asarray(cells).tolist()], np.float64)


def _label_numbers(table: Table, who: str) -> Floats:
    labels = np.asarray(table.labels)
    title = f"{who}: column '{table.label_column}'"
    columns = labels.T if labels.ndim == 2 else [labels]
    return np.stack([_numbers(column, table.ids, title) for column in columns], axis=1)


def _in_order(
    own: Sequence[str], numbers: Floats, names: Sequence[str], who: str
) -> tuple[tuple[str, ...], Floats]:
    """Return columns of numbers in the order of the targets of the predictions."""
    lacking = [name for name in names if name not in own]
    if len(names) == 1 == numbers.shape[1]:
        return tuple(own), numbers
    if lacking or len(own) != numbers.shape[1]:
        raise _no_column(lacking or names, dict.fromkeys(own), len(names), who)
    return tuple(names), numbers[:, [list(own).index(name) for name in names]]


def _no_column(lacking: Sequence[str], columns: Mapping[str, Any], targets: int, who: str) -> DataError:
    advice = "Name the column of the true numbers: --label-column NAME."
    if targets > 1:
        advice = "Give the columns of both files the same names."
    return DataError(
        who,
        expected=f"a column of true numbers for each target, {first_five(lacking)}",
        got=f"the columns {first_five(columns)}" if columns else "none",
        todo=nearest(lacking[0], columns) or advice,
    )


def _numbers(cells: NDArray[Any], ids: NDArray[Any], who: str) -> Floats:
    """Return cells as float64 `[N]`, or raise a DataError that names the rows without a finite number."""
    numbers = floats(cells)
    _require_finite(np.asarray(cells).tolist(), np.isfinite(numbers), ids, who)
    return numbers


def _require_finite(cells: Sequence[Any], is_finite: NDArray[np.bool_], ids: NDArray[Any], who: str) -> None:
    bad = np.flatnonzero(~is_finite)
    if len(bad):
        first = cells[bad[0]]
        raise DataError(
            who,
            expected="a finite number in each row",
            got=f"{'nothing' if first == '' else repr(first)} in the first of {len(bad)} such rows, "
            f"{first_five(np.asarray(ids)[bad])}",
            todo="Leave these rows out of all files.",
        )


def _number(cell: Any) -> float:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return float("nan")


def _is_missing(cell: Any) -> bool:
    return cell is None or cell == "" or cell != cell
