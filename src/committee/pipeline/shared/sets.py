"""Prediction sets of stored models: the rows that calibrate them, and their coverage on the test split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.base.folds import make_folds
from committee.combiners.base import Combiner
from committee.combiners.soft_voting import SoftVoting
from committee.errors import DataError, StoreError
from committee.metrics.conformal import METHODS
from committee.metrics.conformal_numbers import coverage_and_width
from committee.metrics.interval_table import IntervalTable
from committee.metrics.sampling import Interval
from committee.metrics.set_coverage import coverage_and_size
from committee.metrics.set_table import SetTable, selective
from committee.pipeline.shared.splits import fitting_rows, has_split, split_rows, unseen
from committee.predictions.table import Predictions
from committee.predictions.target_types import CLASSES, NUMBERS
from committee.scoring.distributions import spread_of_members
from committee.store.layout import Store
from committee.tasks.base import Task, task_of

COVERAGES = (0.9, 0.95)
TABLES: Mapping[str, type[SetTable] | type[IntervalTable]] = {
    CLASSES.name: SetTable,
    NUMBERS.name: IntervalTable,
}
"""The kind of table of each type of target."""


def calibration_rows(
    val: Predictions | None, seed: int, *, halve: bool
) -> tuple[Predictions | None, Predictions | None]:
    """Return the val rows on which temperatures are fitted, and those that calibrate prediction sets.

    If both are needed, each gets one half, stratified by class, with whole groups: rows on which a
    temperature was fitted cannot calibrate sets.

    Parameters
    ----------
    val : Predictions or None
        Predictions of the val split, if there is one.
    seed : int
        Seed of the division.
    halve : bool
        Whether temperatures are fitted.
    """
    if val is None or not halve:
        return val, val
    labels = val.require_labels("sets")
    try:
        half = make_folds(labels, 2, groups=val.groups, seed=seed, rare=True)
    except DataError:  # one row or one group cannot be divided
        return val, None
    return val.rows(half == 0), val.rows(half == 1)


def table(
    outputs: NDArray[np.float32], predicted: Predictions, combiner: Combiner, *, rows: str, approximate: bool
) -> dict[str, Any] | None:
    """Return the table of sets or intervals that the `predicted` rows calibrate, as JSON.

    Its kind, `SetTable` or `IntervalTable`, is that of the predictions; None if their task has neither.
    Intervals are also normalized by the spread of the members that the combiner used for the `outputs`.
    """
    if not task_of(predicted).conformal:
        return None
    labels, groups = predicted.require_labels("sets"), predicted.groups
    spread = spread_of_members(outputs, combiner, predicted)
    more = {} if spread is None else {"spread": spread}
    kind = TABLES[predicted.target_type.of_rows.name]
    return kind.of(outputs, labels, rows=rows, approximate=approximate, groups=groups, **more).to_json()


def voting(task: Task) -> Combiner:
    """Return the rule that returns the mean of members, of whatever they predict."""
    return SoftVoting().assign(task)


def mean_of_members(rows: Predictions) -> NDArray[np.float32]:
    """Return the mean `[N, C]` of the members: log-probabilities, or numbers."""
    return voting(task_of(rows)).combine(rows.logits)


def member_table(store: Store, name: str, inference: str) -> dict[str, Any] | None:
    """Return the table of a member, from the val split or else out-of-fold rows; None without either.

    Parameters
    ----------
    store : Store
    name : str
    inference : {"refit", "folds"}
        The deployed networks of the member.
    """
    deployed, rows, kind = {name: inference}, None, "val"
    if has_split(store, [name], "val", deployed):
        rows = unseen(split_rows(store, [name], "val", deployed))
    if rows is None or not len(rows):
        try:
            rows, kind = fitting_rows(store, [name], deployed)
        except StoreError:
            return None
    rule = voting(task_of(rows))
    return table(rule.combine(rows.logits), rows, rule, rows=kind, approximate=kind != "val")


def model_table(store: Store, facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the table of a member or ensemble from the `facts` that `load_model` returned."""
    if facts["kind"] == "ensemble":
        return facts.get("sets")
    return member_table(store, facts["name"], facts["inference"])


def on_test(
    found: Mapping[str, Any],
    outputs: NDArray[np.float32],
    test: Predictions,
    name: str,
    spread: NDArray[np.float64] | None = None,
) -> dict[str, Any]:
    """Evaluate a table on test rows: coverage and size of sets or intervals, and the effect of abstention.

    Parameters
    ----------
    found : mapping
        The table, as JSON.
    outputs : float32 array [N, C]
        Log-probabilities or numbers of the rows.
    test : Predictions
        The rows, of which labels and groups are used.
    name : str
        Name of the model in errors.
    spread : float64 array [N, T], optional
        Standard deviation of each number, for normalized intervals.

    Returns
    -------
    dict
        `rows`, `n`, `groups`, `approximate`, `note`; by method and coverage, `coverage` and `mean_size` with
        intervals;
        `abstain`: for each confidence, the share `answered` and the `accuracy` of these answers. Of numbers,
        `intervals` and, with a spread, `normalized_intervals`: for each target and coverage, `coverage` and
        `mean_width` with intervals.
    """
    facts = {key: found[key] for key in ("rows", "n", "groups", "approximate", "note")}
    return {**facts, **_MEASURES[test.target_type.of_rows.name](found, outputs, test, name, spread)}


def _of_sets(
    found: Mapping[str, Any], log_probs: NDArray[np.float32], test: Predictions, name: str, spread: None
) -> dict[str, Any]:
    sets, labels = SetTable.from_json(found, name), test.require_labels("sets")

    def measured(method: str) -> dict[str, Any]:
        limits = [sets.limit(coverage, method) for coverage in COVERAGES]
        found = coverage_and_size(log_probs, labels, limits, method, test.groups)
        return {
            f"{coverage:g}": {key: asdict(interval) for key, interval in each.items()}
            for coverage, each in zip(COVERAGES, found, strict=True)
        }

    by_method = {method: measured(method) for method in METHODS}
    return {**by_method, "abstain": selective(log_probs, labels)}


def _of_intervals(
    found: Mapping[str, Any],
    values: NDArray[np.float32],
    test: Predictions,
    name: str,
    spread: NDArray[np.float64] | None,
) -> dict[str, Any]:
    table, labels = IntervalTable.from_json(found, name), test.require_labels("sets")

    def measured(kind: str, size: NDArray[np.float64] | None) -> list[dict[str, Any]]:
        return [
            {"target": target, "wanted": coverage, **{key: _plain(each) for key, each in one.items()}}
            for coverage in COVERAGES
            for target, one in zip(
                test.target_names,
                coverage_and_width(values, labels, table.limit(coverage, kind), size, test.groups),
                strict=True,
            )
        ]

    absolute = {"intervals": measured("absolute", None)}
    if spread is None or not table.normalized:
        return absolute
    return {**absolute, "normalized_intervals": measured("normalized", table.size_of(spread))}


def _plain(interval: Interval) -> dict[str, float | None]:
    """Return an interval as JSON values; None in place of infinity, where there were too few rows."""
    return {key: value if np.isfinite(value) else None for key, value in asdict(interval).items()}


_MEASURES: Mapping[str, Callable[..., dict[str, Any]]] = {CLASSES.name: _of_sets, NUMBERS.name: _of_intervals}
