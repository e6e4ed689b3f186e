"""Rows that the networks of a model were not trained on, and measurements of files on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.base.randomness import derive
from committee.errors import StoreError
from committee.images.dataset import Dataset
from committee.images.view import View
from committee.metrics.metric import Metric
from committee.models.predictor import Predictor
from committee.pipeline.shared.records import deployed_of
from committee.pipeline.shared.splits import has_split, oof_rows, split_rows, unseen
from committee.predictions.table import Predictions
from committee.scoring.gains import gain
from committee.store.layout import Store
from committee.tasks.base import Task

BATCH = 64
FOLD = "fold_0"


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Rows that some networks of a model were not trained on.

    Attributes
    ----------
    kind : {"val", "out-of-fold", "test"}
    inference : str or None
        The networks that have not seen them: None for the deployed ones, or the name of a fit.
    rows : int64 `[n]`
        Rows of the data set.
    """

    kind: str
    inference: str | None
    rows: NDArray[np.int64]


def choosing_rows(store: Store, name: str, dataset: Dataset, most: int, seed: int) -> HeldOut:
    """Return the rows on which a choice among files of a model is made: val rows, or those of the first fold.

    The latter are predicted by the networks that were trained without that fold.

    Raises
    ------
    StoreError
        The networks have seen all rows.
    """
    deployed = deployed_of(store, name)
    if has_split(store, deployed, "val", deployed):
        found = unseen(split_rows(store, deployed, "val", deployed))
        if len(found):
            return HeldOut("val", None, _some(found, dataset, most, seed))
    if all(FOLD in store.folds(member) for member in deployed):
        found = unseen(oof_rows(store, deployed))
        found = found.rows(found.folds == 0) if found.folds is not None else found.rows([])
        if len(found):
            return HeldOut("out-of-fold", FOLD, _some(found, dataset, most, seed))
    raise StoreError(
        name,
        expected="rows that its networks were not trained on, to choose among compressed files",
        got="neither a val split nor fold networks",
        todo="Train in another store with dataset.val_size=0.1 or training.folds=5.",
    )


def test_rows(store: Store, name: str, dataset: Dataset, most: int, seed: int) -> HeldOut | None:
    """Return the test rows that the deployed networks have not seen; None if there are none."""
    deployed = deployed_of(store, name)
    if not has_split(store, deployed, "test", deployed):
        return None
    found = unseen(split_rows(store, deployed, "test", deployed))
    return HeldOut("test", None, _some(found, dataset, most, seed)) if len(found) else None


def _some(found: Predictions, dataset: Dataset, most: int, seed: int) -> NDArray[np.int64]:
    """Return the rows of the data set with the ids of predictions, at most some of them, at random."""
    rows = np.flatnonzero(np.isin(dataset.sample_ids, found.sample_ids))
    chosen = np.random.default_rng(derive(seed, "held out")).permutation(rows)[:most]
    return np.sort(chosen)


def predict_rows(
    predictor: Predictor, dataset: Dataset, view: View, rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return outputs, float32 `[n, C]`, of cached images in the order of the data set's names."""
    parts = [
        predictor(dataset.images(rows[start : start + BATCH], view).contiguous().numpy())
        for start in range(0, len(rows), BATCH)
    ]
    names = list(predictor.class_names)
    found = np.concatenate(parts)[:, [names.index(name) for name in dataset.class_names]]
    return dataset.target_type.from_answers(found)


def compared(
    candidate: NDArray[np.float32], baseline: NDArray[np.float32], dataset: Dataset, rows: NDArray[np.int64]
) -> dict[str, Any]:
    """Return what a candidate loses against a baseline on rows, from outputs `[n, C]`.

    Returns
    -------
    dict
        `n`; the metrics that prove something in the task (`accuracy` and `log_loss`, or `rmse`) with
        intervals, and `accuracy_lost`, ... with paired intervals, positive if the candidate is worse;
        `agreement`, the share of rows with the same predicted class, or similar numbers (see `Task.alike`);
        `max_abs_diff` of the probabilities, or of the numbers relative to their size.
    """
    labels, task = dataset.labels[rows], dataset.task
    groups = None if dataset.groups is None else dataset.groups[rows]
    answers, wanted = task.linked(candidate), task.linked(baseline)
    size = dataset.target_type.units(wanted, dataset.target_type.standardization(dataset.labels)[1])
    return {
        "n": len(rows),
        **measured(task, candidate, labels, groups),
        **{f"{name}_lost": _lost(name, candidate, baseline, labels, groups) for name in _metrics(task)},
        "agreement": float(task.alike(candidate, baseline, labels).mean()),
        "max_abs_diff": float((np.abs(answers - wanted) / size).max()),
    }


def measured(
    task: Task, outputs: NDArray[np.float32], labels: NDArray[Any], groups: NDArray[np.int64] | None
) -> Mapping[str, dict[str, float]]:
    """Return the metrics of `compared` with intervals."""
    found = task.intervals(outputs, labels, groups=groups, names=_metrics(task))
    return {name: asdict(each) for name, each in found.items()}


def loss_of(metric: Metric, found: Mapping[str, Any]) -> dict[str, float]:
    """Return what a file loses of a metric: points, or in another unit the share of the float32 file's value.

    Parameters
    ----------
    metric : Metric
    found : mapping
        The result of `compared`.
    """
    lost: Mapping[str, float] = found[f"{metric.name}_lost"]
    if metric.in_points:
        return dict(lost)
    before = abs(found[metric.name]["value"] + metric.sign * lost["value"])
    return {key: value / before if before else value for key, value in lost.items()}


def in_words(metric: Metric, lost: Mapping[str, float]) -> str:
    """Return a loss of `loss_of` in words: `0.42 points of accuracy lost`, or `rmse 0.42% larger`."""
    value = f"{100 * lost['value']:z.2f}"
    return f"{value} points of {metric.name} lost" if metric.in_points else f"{metric.name} {value}% larger"


def _metrics(task: Task) -> list[str]:
    return sorted(task.proof)


def _lost(
    metric: str,
    candidate: NDArray[np.float32],
    baseline: NDArray[np.float32],
    labels: NDArray[Any],
    groups: NDArray[np.int64] | None,
) -> dict[str, float]:
    found = gain(candidate, baseline, labels, metric=metric, groups=groups)
    return {"value": -found.value, "low": -found.high, "high": -found.low}
