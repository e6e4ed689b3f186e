"""The writers of CSV files of probabilities, of numbers and of labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.base.csv_cells import cell
from committee.predictions.files._columns import CLASS, ID, are_numbered, is_special
from committee.store.outputs import output_text


def class_columns(class_names: Sequence[str]) -> list[str]:
    """Return the names of class columns, from which a reader gets the names of the classes.

    They are the names themselves, or `class:<name>` for all if one of them could be another column: `id`,
    `label`, `model`, a blank, `p0`, ... `committee combine` removes the prefix.
    """
    names = [str(name) for name in class_names]
    taken = any(is_special(name) for name in names) or are_numbered(names)
    prefixed = all(name.startswith(CLASS) for name in names)
    return [f"{CLASS}{name}" for name in names] if taken or prefixed else names


def write_csv(
    path: Path,
    sample_ids: ArrayLike,
    probabilities: NDArray[np.floating],
    class_names: Sequence[str],
    labels: ArrayLike | None = None,
    *,
    id_column: str = ID,
    label_column: str = "label",
    force: bool = True,
) -> None:
    """Write one row for each sample: its id, the probability of each class, and optionally its label.

    `committee combine` can read the file. Cells that a spreadsheet would run as formulas are escaped
    (`committee.base.csv_cells`).

    Parameters
    ----------
    path : Path
        The file; its folder is created.
    sample_ids : str array [N]
    probabilities : float array [N, C]
    class_names : sequence of str
    labels : int array [N], optional
        Class indices, which are written as class names.
    id_column, label_column : str
        Names of these columns.
    force : bool
        Whether to replace a file with other content.

    Raises
    ------
    UsageError
        The file exists, and has other content.
    """
    names = None if labels is None else [cell(class_names[label]) for label in np.asarray(labels).tolist()]
    header = [id_column, *class_columns(class_names), *([] if names is None else [label_column])]
    _write(path, header, sample_ids, probabilities, "%.7g", names, force)


def write_values(
    path: Path,
    sample_ids: ArrayLike,
    values: NDArray[np.floating],
    target_names: Sequence[str],
    *,
    id_column: str = ID,
    force: bool = True,
) -> None:
    """Write one row for each sample: its id, and the number of each target under the name of the target.

    Numbers have nine significant digits, from which float32 is read as it was. Raise what `write_csv` raises.
    """
    _write(path, [id_column, *target_names], sample_ids, values, "%.9g", None, force)


def _write(
    path: Path,
    header: Sequence[str],
    sample_ids: ArrayLike,
    values: NDArray[np.floating],
    form: str,
    labels: Sequence[str] | None,
    force: bool,
) -> None:
    numbers = ",".join([form] * np.shape(values)[1])
    ids, rows = np.asarray(sample_ids).tolist(), np.asarray(values)
    with output_text(path, force=force) as file:
        file.write(",".join(map(cell, header)) + "\n")
        for start in range(0, len(ids), 4096):
            for place, row in enumerate(rows[start : start + 4096].tolist(), start):
                label = "" if labels is None else f",{labels[place]}"
                file.write(f"{cell(ids[place])},{numbers % tuple(row)}{label}\n")


def write_labels(
    path: Path,
    sample_ids: ArrayLike,
    labels: Sequence[str],
    *,
    id_column: str = ID,
    label_column: str = "label",
    force: bool = True,
) -> None:
    """Write one row `id,label` for each sample; labels are class names. Raise what `write_csv` raises."""
    with output_text(path, force=force) as file:
        file.write(f"{cell(id_column)},{cell(label_column)}\n")
        for name, label in zip(np.asarray(sample_ids).tolist(), labels, strict=True):
            file.write(f"{cell(name)},{cell(label)}\n")
