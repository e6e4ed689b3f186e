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
from committee.metrics.confidence import intervals
from committee.models.predictor import Predictor
from committee.pipeline.shared.records import deployed_of
from committee.pipeline.shared.splits import has_split, oof_rows, split_rows, unseen
from committee.predictions.probabilities import log_of
from committee.predictions.table import Predictions
from committee.scoring.gains import gain
from committee.store.layout import Store

BATCH = 64
FOLD = "fold_0"
METRICS = ("accuracy", "log_loss")


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
    """Return log-probabilities, float32 `[n, C]`, of cached images in the order of the data set's classes."""
    parts = [
        predictor(dataset.images(rows[start : start + BATCH], view).contiguous().numpy())
        for start in range(0, len(rows), BATCH)
    ]
    names = list(predictor.class_names)
    found = np.concatenate(parts)[:, [names.index(name) for name in dataset.class_names]]
    return log_of(found / found.sum(1, keepdims=True))


def compared(
    candidate: NDArray[np.float32], baseline: NDArray[np.float32], dataset: Dataset, rows: NDArray[np.int64]
) -> dict[str, Any]:
    """Return what a candidate loses against a baseline on rows, from log-probabilities `[n, C]`.

    Returns
    -------
    dict
        `n`; `accuracy` and `log_loss` with intervals; `accuracy_lost` and `log_loss_lost` with paired
        intervals, positive if the candidate is worse; `agreement`, the share of rows with the same predicted
        class; `max_abs_diff` of the probabilities.
    """
    labels, groups = dataset.labels[rows], None if dataset.groups is None else dataset.groups[rows]
    return {
        "n": len(rows),
        **measured(candidate, labels, groups),
        **{f"{name}_lost": _lost(name, candidate, baseline, labels, groups) for name in METRICS},
        "agreement": float((candidate.argmax(1) == baseline.argmax(1)).mean()),
        "max_abs_diff": float(np.abs(np.exp(candidate) - np.exp(baseline)).max()),
    }


def measured(
    log_probs: NDArray[np.float32], labels: NDArray[np.int64], groups: NDArray[np.int64] | None
) -> Mapping[str, dict[str, float]]:
    """Return accuracy and log-loss with intervals."""
    found = intervals(log_probs, labels, groups=groups, names=METRICS)
    return {name: asdict(each) for name, each in found.items()}


def _lost(
    metric: str,
    candidate: NDArray[np.float32],
    baseline: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
) -> dict[str, float]:
    found = gain(candidate, baseline, labels, metric=metric, groups=groups)
    return {"value": -found.value, "low": -found.high, "high": -found.low}
