"""Savings of conditional evaluation: how often each member is evaluated, and the latency on real images."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from committee.combiners.base import Combiner
from committee.combiners.soft_voting import SoftVoting
from committee.errors import CommitteeError
from committee.images.dataset import Dataset, open_dataset
from committee.images.view import views_by_canvas
from committee.metrics.classification import evaluate
from committee.models.measure import batch_times
from committee.pipeline.shared.combined import combined, usage
from committee.pipeline.shared.models import load_model
from committee.pipeline.shared.splits import fitting_rows
from committee.store.layout import Store

log = logging.getLogger(__name__)

BATCHES = {1: 200, 32: 12}
"""Images per call, and the number of timed calls."""

Facts = Mapping[str, Any]


def savings(store: Store, combiner: Combiner, facts: Facts) -> dict[str, Any]:
    """Return how often each member is evaluated on the test split, and the accuracy that is kept.

    Parameters
    ----------
    store : Store
    combiner : Combiner
        The combiner of a stored ensemble.
    facts : mapping
        The record of the ensemble.

    Returns
    -------
    dict
        `used_members`: member -> share of the images; `exit_rates` of a cascade, in the order of its stages;
        `accuracy_kept`, `cross_fitted` and `test`: relative to the accuracy of all members together.
    """
    members, deployed = facts["members"], facts["inference"]
    found: dict[str, Any] = {"used_members": usage(store, combiner, members, "test", deployed)}
    order = _order_of_members(facts)
    if order:
        reached = [found["used_members"].get(name, 0.0) for name in order]
        found["exit_rates"] = (-np.diff([*reached, 0.0])).round(12).tolist()
    return {**found, "accuracy_kept": _accuracy_kept(store, combiner, facts)}


def _order_of_members(facts: Facts) -> list[str]:
    """Return the members in the order of the stages of a cascade; empty if the stages are ensembles."""
    order = list(facts["notes"].get("order", ()))
    return order if set(order) <= set(facts["candidates"]) else []


def _accuracy_kept(store: Store, combiner: Combiner, facts: Facts) -> dict[str, float]:
    candidates = _order_of_members(facts) or list(facts["candidates"])
    deployed = {name: facts["candidates"][name] for name in candidates}
    voting = SoftVoting().bind(candidates)
    rows, _ = fitting_rows(store, candidates, deployed)
    own, test = combined(store, combiner, facts["members"], "test", deployed)
    whole = combined(store, voting, candidates, "test", deployed)[0]
    cross_fitted = facts["scores"]["cross_fitted"]["accuracy"]["value"]
    return {
        "cross_fitted": cross_fitted / _accuracy(voting.combine(rows.logits), rows.labels),
        "test": _accuracy(own, test.labels) / _accuracy(whole, test.labels),
    }


def _accuracy(log_probs: NDArray[np.float32], labels: NDArray[np.int64] | None) -> float:
    assert labels is not None
    return evaluate(log_probs, labels, ["accuracy"])["accuracy"]


def latencies(
    store: Store, name: str, device: torch.device, trusted: Collection[str]
) -> list[dict[str, float]]:
    """Time a model on the largest canvases of test images that it reads, conditionally and densely.

    Parameters
    ----------
    store : Store
    name : str
        The name of a member or an ensemble.
    device : torch.device
    trusted : collection of str
        The `python:` backbones that may be built.

    Returns
    -------
    list of dict
        For 1 and for 32 images per call: `batch`, `calls`, and the milliseconds per call, `mean`, `median`
        and `p95`; with the prefix `dense_`, the same if all networks run. Empty if the images cannot be read.
    """
    module = load_model(store, name, trusted=trusted)[0].to(device)
    largest = max(views_by_canvas(module))
    try:
        dataset = open_dataset(None, store, canvases=[largest], folds=0, seed=0)
    except CommitteeError as error:
        log.warning("%s is not timed on real images: %s", name, error)
        return []
    return [_timed(module, _batches(dataset, size, calls, device)) for size, calls in BATCHES.items()]


def _batches(dataset: Dataset, size: int, calls: int, device: torch.device) -> list[torch.Tensor]:
    rows = dataset.rows("test")
    rows = rows if len(rows) else dataset.rows("train")
    drawn = np.random.default_rng(0).choice(rows, (calls, size), replace=True)
    return [dataset.images(each).to(device) for each in drawn]


def _timed(module: Any, batches: Sequence[torch.Tensor]) -> dict[str, float]:
    conditional, dense = batch_times([module.infer, module], batches)
    found = {"batch": len(batches[0]), "calls": len(dense), **_summary(conditional)}
    return {**found, **{f"dense_{key}": value for key, value in _summary(dense).items()}}


def _summary(times: NDArray[np.float64]) -> dict[str, float]:
    median, p95 = np.percentile(times, [50, 95])
    return {"mean": float(times.mean()), "median": float(median), "p95": float(p95)}
