"""Which fits make their steps as one: those that the recipe names, or that a trial shows to be faster."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from committee.base.text import count
from committee.images.dataset import Dataset
from committee.images.view import CanvasSpec, View
from committee.training.crossfit.bundles import Bundle, bundles_of, kind
from committee.training.crossfit.crossfit import CrossFit
from committee.training.fit.comparison import STEPS, Comparison, compare
from committee.training.fit.job import Job
from committee.training.plans.shared.independent import Independent

LEAST = 1.1
"""Speedup from which fits make their steps as one."""
SHARE = 0.05
"""Largest share of the steps of a fit that a trial may take."""
TRIED = 5
"""Largest number of networks in a trial."""

log = logging.getLogger(__name__)


def choose(crossfits: Sequence[CrossFit], workers: int) -> list[str]:
    """Set `stacked` of each plan, and return what was chosen in words, for each kind of fits.

    With `training.together: auto`, the bytes of a result never depend on the choice: steps as one must have
    the same bytes in the trial. There is no trial if it would take more than 5% of the steps of a fit, or if
    the store has all fits.

    Parameters
    ----------
    crossfits : sequence of CrossFit
    workers : int
        Processes that train at once.
    """
    plans = [each.plan for each in crossfits]
    wanted = [each.spec.training.together if isinstance(each, Independent) else "none" for each in plans]
    for plan, way in zip(plans, wanted, strict=True):
        plan.stacked = way != "none"
    found, seen, stacked = list[str](), set[int](), set[int]()
    for bundles in _several(crossfits, workers):
        members = {task.plan for bundle in bundles for task in bundle}
        if members <= seen:
            continue  # These are the refits of members whose folds have decided.
        seen |= members
        given = wanted[bundles[0][0].plan] == "stacked"
        outcome = None if given else _tried(crossfits, bundles[0])
        if given or (outcome is not None and outcome.same and outcome.speedup >= LEAST):
            stacked |= members
        if given or outcome is not None:
            number = sum(_networks(crossfits, each) for each in bundles)
            names = ", ".join(plans[each].name for each in sorted(members))
            text = "stacked" if outcome is None else describe(outcome)
            found.append(f"{count(number, 'network')} of {names}: {text}")
    for index, plan in enumerate(plans):
        plan.stacked = index in stacked
    return found


def describe(found: Comparison) -> str:
    """Return the outcome of a trial in words.

    Examples
    --------
    >>> from committee.training.fit.comparison import Comparison
    >>> describe(Comparison(2.84, same=True))
    'stacked, 2.8 times the steps a second of one after the other'
    >>> describe(Comparison(1.24, same=False))
    'not stacked, since that changes the last bits; 1.2 times as fast with training.together=stacked'
    """
    if found.reason:
        return f"not stacked: {found.reason}"
    if found.speedup < LEAST:
        return f"not stacked, which has {found.speedup:.1f} times the steps a second of one after the other"
    if not found.same:
        return (
            f"not stacked, since that changes the last bits; {found.speedup:.1f} times as fast with "
            "training.together=stacked"
        )
    return f"stacked, {found.speedup:.1f} times the steps a second of one after the other"


def _several(crossfits: Sequence[CrossFit], workers: int) -> list[list[Bundle]]:
    """Return the bundles with several networks of each kind that can be stacked, the largest first."""
    alike: dict[object, list[Bundle]] = {}
    for bundle in sorted(bundles_of(crossfits, workers), key=lambda each: -_networks(crossfits, each)):
        own = kind(crossfits[bundle[0].plan].plan, bundle[0].fit)
        if own is not None and _networks(crossfits, bundle) > 1:
            alike.setdefault(own, []).append(bundle)
    return list(alike.values())


def _networks(crossfits: Sequence[CrossFit], bundle: Bundle) -> int:
    return len(bundle) * crossfits[bundle[0].plan].plan.networks


def _tried(crossfits: Sequence[CrossFit], bundle: Bundle) -> Comparison | None:
    """Return the outcome of a trial, or None if it is not worth its time."""
    first = crossfits[bundle[0].plan]
    if first.plan.dataset.sizes is not None and first.plan.dataset.maps is None:
        return None  # The preview of a data set of maps has no crops.
    if all(crossfits[task.plan].folder(task.fit).exists() for task in bundle):
        return None
    assert isinstance(first.plan, Independent)
    spec = first.plan.spec
    steps = spec.training.epochs * math.ceil(len(first.rows(bundle[0].fit)) / spec.batch_size)
    if SHARE * steps < 2 * STEPS:
        return None
    return compare(list(_jobs(crossfits, bundle))[:TRIED])


def _jobs(crossfits: Sequence[CrossFit], bundle: Bundle) -> Iterator[Job]:
    for task in bundle:
        each = crossfits[task.plan]
        assert isinstance(each.plan, Independent)
        for job in each.plan.jobs(each.rows(task.fit), task.fit, ""):
            yield replace(job, dataset=_with_images(job.dataset, job.spec.img_size))


def _with_images(dataset: Dataset, size: int) -> Dataset:
    """Return a data set with images: noise, if those of a preview were not decoded."""
    if dataset.canvases:
        return dataset
    view = View(size, fit=dataset.fit, channels=dataset.channels)
    return replace(dataset, canvases={view.canvas: cast("Any", _Noise(view.canvas))})


class _Noise:
    """Canvases of random pixels."""

    def __init__(self, spec: CanvasSpec) -> None:
        self.shape = (spec.size, spec.size, spec.channels)

    def __getitem__(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.random.default_rng(0).integers(0, 256, (len(rows), *self.shape), np.uint8)
