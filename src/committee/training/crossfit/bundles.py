"""Bundles of fits whose networks have one architecture, each trained in lockstep by one process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from committee.executors.shared.attempt import attempt
from committee.training.crossfit.crossfit import REFIT, CrossFit
from committee.training.fit.together import train_together
from committee.training.plans.base import Plan
from committee.training.plans.shared.independent import Independent

MOST = 16
"""Largest number of networks in a stack."""


class Task(NamedTuple):
    """The fit `fit` of the plan with the index `plan`."""

    plan: int
    fit: str


Bundle = tuple[Task, ...]
"""Fits that one process makes at once."""


def kind(plan: Plan, fit: str) -> tuple[object, ...] | None:
    """Return what fits that can be stacked have in common; None if a fit cannot be stacked."""
    if not isinstance(plan, Independent):
        return None
    spec = plan.spec
    settings = spec.training.model_dump(mode="json", exclude={"start_seed", "folds", "inference"})
    return (plan.key, spec.backbone, spec.img_size, spec.batch_size, str(settings), fit == REFIT)


def bundles_of(crossfits: Sequence[CrossFit], workers: int) -> list[Bundle]:
    """Return all fits in bundles, in the order of their first fits.

    Fits of stacked plans of one kind are dealt to the workers in equal parts; other fits are alone.

    Parameters
    ----------
    crossfits : sequence of CrossFit
    workers : int
        Processes that train at once.
    """
    alike: dict[object, list[Task]] = {}
    for index, each in enumerate(crossfits):
        for fit in each.names:
            task = Task(index, fit)
            own = kind(each.plan, fit) if each.plan.stacked else None
            alike.setdefault(task if own is None else own, []).append(task)
    found = list[Bundle]()
    for tasks in alike.values():
        networks = len(tasks) * crossfits[tasks[0].plan].plan.networks
        parts = min(len(tasks), max(workers, -(-networks // MOST)))
        found += [tuple(tasks[place] for place in part) for part in np.array_split(range(len(tasks)), parts)]
    return sorted(found)


def make_together(fits: Iterable[tuple[CrossFit, str]]) -> list[bool | Exception]:
    """Make fits in lockstep; return for each False if the store had it, or the reason why it failed."""
    fits = list(fits)
    jobs = [attempt(partial(each.jobs, name)) for each, name in fits]
    trained = iter(train_together([job for some in jobs if not isinstance(some, Exception) for job in some]))
    found = list[bool | Exception]()
    for (each, name), some in zip(fits, jobs, strict=True):
        if isinstance(some, Exception):
            found.append(some)
        else:
            own = [next(trained) for _ in some]
            found.append(attempt(partial(each.keep, name, some, own)))
    return found
