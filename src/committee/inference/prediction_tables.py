"""Export of stored predictions to CSV tables `id,p0..pC,label`, or `id,<target>,fold,label` of numbers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from committee.base.csv_cells import line
from committee.pipeline.discover import look_through
from committee.pipeline.shared.choose import choose_deployed, choose_members
from committee.pipeline.shared.splits import oof_rows, split_rows
from committee.predictions.files.shared.writing import class_columns
from committee.predictions.table import Predictions
from committee.predictions.target_types import CLASSES, NUMBERS
from committee.recipe.model import Recipe
from committee.store.layout import Store
from committee.store.outputs import output_text

log = logging.getLogger(__name__)

Columns = tuple[list[str], NDArray[Any], dict[str, list[Any]]]
"""Names of the outputs, their values `[N, C]`, and further columns by name."""


def write_tables(
    recipe: Recipe,
    store: Store,
    path: Path,
    *,
    member: str | None,
    split: str,
    per_fold: bool,
    force: bool = False,
) -> list[dict[str, Any]]:
    """Write the predictions of members as CSV files.

    Parameters
    ----------
    recipe : Recipe
        Selects the members, and which of their networks are deployed.
    store : Store
    path : Path
        File of the table. If there are several tables, the names of the member and of the fold are appended
        to its stem.
    member : str, optional
        One member instead of those of the recipe.
    split : {"oof", "test", "val"}
        Which predictions.
    per_fold : bool
        Whether to write the out-of-fold rows of each fold to a table of its own.
    force : bool
        Whether to replace files with other content.

    Returns
    -------
    list of dict
        `file`, `member`, `networks` (`folds` or `refit`) and number of `rows` of each table.

    Raises
    ------
    StoreError
        A member has no predictions on the split.
    UsageError
        A file exists, and has other content.
    """
    catalog = look_through(store)
    for entry in catalog["left_out"]:
        log.warning("left out %s: %s", entry["path"], entry["reason"])
    entries = catalog["members"]
    names = [store.resolve(member)] if member else choose_members(recipe, entries, store)
    deployed = choose_deployed(recipe, entries, names)
    tables = []
    for name in names:
        rows = oof_rows(store, [name]) if split == "oof" else split_rows(store, [name], split, deployed)
        for ending, part in _parts(rows, per_fold):
            ending = f"_{name}{ending}" if len(names) > 1 else ending
            file = path.with_name(f"{path.stem}{ending}{path.suffix}")
            _write(part, file, force)
            networks = "folds" if split == "oof" else deployed[name]
            tables.append({"file": file.as_posix(), "member": name, "networks": networks, "rows": len(part)})
    return tables


def _parts(rows: Predictions, per_fold: bool) -> Iterator[tuple[str, Predictions]]:
    if not per_fold or rows.folds is None:
        yield "", rows
        return
    for fold in np.unique(rows.folds):
        yield f"_fold_{fold}", rows.rows(rows.folds == fold)


def _write(rows: Predictions, path: Path, force: bool) -> None:
    outputs, values, columns = _COLUMNS[rows.target_type.of_rows.name](rows)
    with output_text(path, force=force) as file:
        file.write(line(["id", *outputs, *columns]))
        for name, row, *rest in zip(rows.sample_ids, values, *columns.values(), strict=True):
            file.write(line([name, *row, *rest]))
    if "label" not in columns and rows.labels is not None:
        with output_text(path.with_name(f"{path.stem}_labels{path.suffix}"), force=force) as file:
            file.write(line(["id", *outputs]))
            for name, numbers in zip(rows.sample_ids, rows.labels, strict=True):
                file.write(line([name, *numbers]))


def _classes(rows: Predictions) -> Columns:
    """Return the columns after the id: the probabilities, and the labels."""
    outputs = [f"p{index}" for index in range(len(rows.class_names))]
    return outputs, softmax(rows.logits[0], axis=1), {"label": _labels(rows)}


def _numbers(rows: Predictions) -> Columns:
    """Return the columns after the id: predicted numbers, fold and group, and the label of one target.

    True numbers of several targets are in a file of their own.
    """
    names = class_columns(rows.target_names)
    known = {"fold": rows.folds, "group": rows.groups}
    columns = {name: column.tolist() for name, column in known.items() if column is not None}
    if len(names) == 1:
        columns["label"] = _labels(rows) if rows.labels is None else rows.labels[:, 0].tolist()
    return names, rows.logits[0], columns


def _labels(rows: Predictions) -> list[Any]:
    return [""] * len(rows) if rows.labels is None else rows.labels.tolist()


_COLUMNS: Mapping[str, Callable[[Predictions], Columns]] = {CLASSES.name: _classes, NUMBERS.name: _numbers}
