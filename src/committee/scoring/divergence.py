"""The samples on which members disagree most."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from committee.predictions.table import Predictions
from committee.tasks.base import task_of

_TILE = 2**18


def disagreement(predictions: Predictions, top: int = 20) -> list[dict[str, Any]]:
    """Return the samples on which members disagree most, in descending order.

    Parameters
    ----------
    predictions : Predictions
        With or without labels.
    top : int
        Number of samples.

    Returns
    -------
    list of dict
        `sample_id`, `label` (class name or None), `votes` (number of members by predicted class) and
        `disagreement`, the Jensen-Shannon divergence of the members in nats. Of numbers: `sample_id`,
        `label` and `values` (lists with a number for each target, those of `values` by member), and
        `disagreement`, the standard deviation of the members in units of that of the target.

    Examples
    --------
    >>> from committee.predictions import simulate
    >>> from committee.scoring import disagreement
    >>> [most] = disagreement(simulate({"a": 2.0, "b": 2.0}, rows=200), top=1)
    >>> most["sample_id"], most["votes"]
    ('183', {'class 0': 1, 'class 2': 1})
    """
    if not task_of(predictions).logits:
        return _spread_of_numbers(predictions, top)
    divergence = _divergence(predictions.logits)
    names, labels = predictions.class_names, predictions.labels
    return [
        {
            "sample_id": str(predictions.sample_ids[row]),
            "label": None if labels is None else names[labels[row]],
            "votes": _votes(predictions.logits[:, row], names),
            "disagreement": float(divergence[row]),
        }
        for row in np.argsort(-divergence, kind="stable")[:top]
    ]


def _spread_of_numbers(predictions: Predictions, top: int) -> list[dict[str, Any]]:
    values, labels = np.asarray(predictions.logits, np.float64), predictions.labels
    unit = values.mean(axis=0).std(axis=0) if labels is None else labels.std(axis=0)
    spread = (values.std(axis=0) / np.where(unit > 0, unit, 1.0)).mean(axis=1)
    return [
        {
            "sample_id": str(predictions.sample_ids[row]),
            "label": None if labels is None else labels[row].tolist(),
            "values": dict(zip(predictions.members, predictions.logits[:, row].tolist(), strict=True)),
            "disagreement": float(spread[row]),
        }
        for row in np.argsort(-spread, kind="stable")[:top]
    ]


def _divergence(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the entropy of the mean minus the mean entropy, float32 `[N]`, in nats."""
    members, rows, classes = logits.shape
    result = np.empty(rows, np.float32)
    block = max(16, _TILE // (members * classes))
    for start in range(0, rows, block):
        tile = torch.from_numpy(np.array(logits[:, start : start + block])).log_softmax(dim=2)
        mean = tile.logsumexp(dim=0) - np.log(members)
        spread = (tile.exp() * tile).sum(dim=2).mean(dim=0) - (mean.exp() * mean).sum(dim=1)
        result[start : start + block] = spread.clamp_min(0).numpy()
    return result


def _votes(logits: NDArray[np.float32], names: Sequence[str]) -> dict[str, int]:
    count = np.bincount(logits.argmax(axis=1), minlength=len(names))
    return {names[label]: int(count[label]) for label in np.argsort(-count, kind="stable") if count[label]}
