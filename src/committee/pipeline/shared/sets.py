"""Prediction sets of stored models: which rows calibrate them, and what they are worth on test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.base.folds import make_folds
from committee.combiners.soft_voting import SoftVoting
from committee.errors import DataError, StoreError
from committee.metrics.conformal import METHODS, SetTable, coverage_and_size, selective
from committee.pipeline.shared.splits import fitting_rows, has_split, split_rows, unseen
from committee.predictions.table import Predictions
from committee.store.layout import Store

COVERAGES = (0.9, 0.95)


def calibration_rows(
    apart: Predictions | None, seed: int, *, halve: bool
) -> tuple[Predictions | None, Predictions | None]:
    """Return the rows kept apart that temperatures are fitted on, and those that calibrate sets.

    Where both need them each gets a half, dealt within classes, groups whole: rows that a temperature was
    fitted on are no longer rows that nothing was fitted on.

    Parameters
    ----------
    apart : Predictions or None
    seed : int
        Deals them.
    halve : bool
        Whether temperatures are to be fitted.
    """
    if apart is None or not halve:
        return apart, apart
    labels = apart.require_labels("sets")
    few = np.bincount(labels)[labels].min() < 2
    try:
        half = make_folds(np.zeros_like(labels) if few else labels, 2, groups=apart.groups, seed=seed)
    except DataError:  # one row, or one group: the temperature has them
        return apart, None
    return apart.rows(half == 0), apart.rows(half == 1)


def table(
    log_probs: NDArray[np.float32], labels: NDArray[np.int64], *, rows: str, approximate: bool
) -> dict[str, Any]:
    """Return the table of prediction sets that labeled rows give, as JSON."""
    return SetTable.of(log_probs, labels, rows=rows, approximate=approximate).to_json()


def member_table(store: Store, name: str, inference: str) -> dict[str, Any] | None:
    """Return the table of a member: of rows kept apart, or else out of fold; None where it has neither.

    Parameters
    ----------
    speaks : {"refit", "folds"}
        Which of its networks answer.
    """
    deployed, rows, kind = {name: inference}, None, "val"
    if has_split(store, [name], "val", deployed):
        rows = unseen(split_rows(store, [name], "val", deployed))
    if rows is None or not len(rows):
        try:
            rows, kind = fitting_rows(store, [name], deployed)
        except StoreError:
            return None
    labels = rows.require_labels("sets")
    return table(SoftVoting().combine(rows.logits), labels, rows=kind, approximate=kind != "val")


def model_table(store: Store, facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the table of a loaded member or ensemble, whose `facts` `load_model` gave."""
    if facts["kind"] == "ensemble":
        return facts.get("sets")
    return member_table(store, facts["name"], facts["inference"])


def on_test(
    found: Mapping[str, Any], log_probs: NDArray[np.float32], labels: NDArray[np.int64], who: str
) -> dict[str, Any]:
    """Return what a table is worth on labeled rows: coverage and size of its sets, and of abstaining.

    Returns
    -------
    dict
        `rows`, `n`, `approximate`, `note`; by method and coverage, `coverage` and `mean_size` with intervals;
        `abstain`: for each confidence, the share `answered` and the `accuracy` of those.
    """
    known = SetTable.from_json(found, who)
    by_method = {
        method: {
            f"{coverage:g}": coverage_and_size(log_probs, labels, known.limit(coverage, method), method)
            for coverage in COVERAGES
        }
        for method in METHODS
    }
    facts = {key: found[key] for key in ("rows", "n", "approximate", "note")}
    return {**facts, **by_method, "abstain": selective(log_probs, labels)}
