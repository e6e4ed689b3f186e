"""What the members of an ensemble are together: their mutual information, and the number it is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError
from committee.metrics.sampling import Sample
from committee.metrics.uncertainty import mutual_information
from committee.pipeline.shared.combined import tiles
from committee.pipeline.shared.splits import has_split, split_folder, split_rows
from committee.predictions.table import Predictions
from committee.scoring.equivalent import deep_ensemble_equivalent
from committee.store.layout import Store
from committee.tasks.base import task_of

VALUES = 2**23
"""Largest number of logits that the deep-ensemble equivalent is computed from; more rows are sampled."""
_FEWEST = 200


def together(
    store: Store, record: Mapping[str, Any], log_probs: NDArray[np.float32], test: Predictions, seed: int
) -> dict[str, Any]:
    """Return measures of an ensemble on the test split that need its members.

    Parameters
    ----------
    store : Store
    record : mapping
        The record of the ensemble.
    log_probs : float32 array [N, C]
        Its predictions of the test split: log-probabilities, or numbers.
    test : Predictions
        The rows of the test split.
    seed : int
        Seed of halves and samples.

    Returns
    -------
    dict
        `mutual_information`: the mean over rows with its interval, None for one member;
        `deep_ensemble_equivalent`: see `committee.scoring.deep_ensemble_equivalent`, for the candidates of
        the ensemble; None if there is one candidate, if one has no test predictions, or if the rows cannot
        be halved. Members that predict numbers have no mutual information.
    """
    information = {"mutual_information": _information(store, record, test)} if task_of(test).logits else {}
    return {
        **information,
        "deep_ensemble_equivalent": _equivalent(store, record["candidates"], log_probs, test, seed),
    }


def _information(store: Store, record: Mapping[str, Any], test: Predictions) -> dict[str, float] | None:
    members = record["members"]
    if len(members) < 2:
        return None
    folders = [split_folder(store, name, "test", record["inference"][name]) for name in members]
    values = np.concatenate([mutual_information(each) for _, each in tiles(folders, test.logits.shape[1:])])
    most = float(np.log(min(len(members), len(test.class_names))))
    return asdict(Sample(len(test), test.groups).mean(values, most))


def _equivalent(
    store: Store, candidates: Mapping[str, str], log_probs: NDArray[np.float32], test: Predictions, seed: int
) -> dict[str, Any] | None:
    if len(candidates) < 2 or not has_split(store, candidates, "test", candidates):
        return None
    most = max(_FEWEST, VALUES // (len(candidates) * log_probs.shape[1]))
    rows = np.arange(len(test))
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))
    logits = np.stack([split_rows(store, [name], "test", candidates).logits[0][rows] for name in candidates])
    labels, groups = test.require_labels("evaluate")[rows], None if test.groups is None else test.groups[rows]
    try:
        found = deep_ensemble_equivalent(
            log_probs[rows], logits, labels, task=task_of(test), groups=groups, seed=seed
        )
    except DataError:  # one row or one group cannot be halved
        return None
    return found.to_json()
