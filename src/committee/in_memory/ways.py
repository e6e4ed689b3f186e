"""How the fits of a run in memory are carried out: their steps as one, at once, or one after the other."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from functools import partial
from typing import cast

import torch

from committee.errors import UsageError
from committee.executors.shared.attempt import attempt
from committee.executors.shared.division import Division, Workers, divide
from committee.training.crossfit.lockstep import LEAST, SHARE, TRIED, describe
from committee.training.fit.at_once import NotApartError, train_at_once
from committee.training.fit.comparison import STEPS, FirstStep, compare, first_step
from committee.training.fit.job import Job, Trained
from committee.training.fit.resume import InMemory
from committee.training.fit.together import train_together
from committee.training.fit.train import train_job

SHORT = 1e-3
"""Seconds of a step, below which steps as one are tried: most of a shorter one is Python."""

log = logging.getLogger(__name__)
Results = Sequence[Trained | Exception]


def carry_out(jobs: Sequence[Job], workers: Workers) -> Results:
    """Carry out fits on one device; return the result of each, or the reason why it failed.

    The number of threads of an operation, on which the last bits of a result depend, follows from `workers`,
    from the threads of torch, and from whether the networks draw random numbers, but not from the way that is
    chosen by timing.

    Parameters
    ----------
    jobs : sequence of Job
        Their states are in memory.
    workers : int or "auto"
        Fits at once, on a CPU; see `divide`.
    """
    together = jobs[0].spec.training.together
    if len(jobs) == 1:
        return _in_turns(jobs)
    if together == "stacked":
        return train_together(jobs)
    step = _first_step(jobs[0], workers)
    division = divide(workers if step else 1, len(jobs), jobs[0].device)
    with division.threads_set():
        is_long = step is not None and step.seconds >= SHORT and division.workers > 1
        if together == "auto" and not is_long and _is_faster(jobs):
            return train_together(jobs)
        return _at_once(jobs, division) if division.workers > 1 else _in_turns(jobs)


def _in_turns(jobs: Sequence[Job]) -> Results:
    return [train_job(job) for job in jobs]


def _first_step(job: Job, workers: Workers) -> FirstStep | None:
    """Return what a step says about fits at once; None if they cannot be, or the step fails as the fit will.

    Raises
    ------
    UsageError
        The number of fits at once was given, and only one is possible.
    """
    if workers == 1 or (workers == "auto" and (torch.get_num_threads() == 1 or job.device.type != "cpu")):
        return None
    if job.device.type != "cpu":
        raise UsageError("workers", expected=f"1 or 'auto' on {job.device.type}", got=str(workers))
    step = attempt(partial(first_step, job))
    if isinstance(step, Exception):
        return None
    if step.draws and workers != "auto":
        raise UsageError(
            "workers",
            expected="1 or 'auto' for networks that draw random numbers in training, as dropout does",
            got=str(workers),
            todo="They are trained one after the other, since threads would draw from one generator.",
        )
    return None if step.draws else step


def _at_once(jobs: Sequence[Job], division: Division) -> Results:
    """Carry out fits at once; or in turns if they turn out to affect each other."""
    try:
        return train_at_once(jobs, division)
    except NotApartError as error:
        log.warning("%s: its fits are repeated one after the other, since %s", jobs[0].spec.name, error)
    for job in jobs:
        cast("InMemory", job.folder).state = None
    return _in_turns(jobs)


def _is_faster(jobs: Sequence[Job]) -> bool:
    """Return whether steps of fits as one are faster, with the same bytes, in a trial that is worth its time.

    The rule is that of recipes with `training.together: auto`.
    """
    spec = jobs[0].spec
    steps = spec.training.epochs * math.ceil(len(jobs[0].rows) / spec.batch_size)
    if SHARE * steps < 2 * STEPS:
        return False
    found = compare(jobs[:TRIED])
    log.info("%s: %s", spec.name, describe(found))
    return found.same and found.speedup >= LEAST
