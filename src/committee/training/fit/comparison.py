"""Comparison of the steps of fits made as one with those of each fit alone: their time, and their bytes."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from committee.executors.shared.attempt import attempt
from committee.training.fit.batches import Rows, epoch_batches
from committee.training.fit.engine import make_fabric
from committee.training.fit.job import Job
from committee.training.fit.loop import Loop, Request
from committee.training.fit.optimizer import set_rate
from committee.training.fit.resume import InMemory
from committee.training.fit.stacked_step import StackedStep
from committee.training.fit.started import drawing_from, own_generators
from committee.training.fit.train import free_memory, preserved_generators

STEPS = 8
"""Steps that are compared."""
FIRST = 3
"""Steps of these that are not timed, since they allocate memory."""
LONG = 0.05
"""Seconds of a step of one network, above which nearly all of them are products, which a stack has too."""


@dataclass(frozen=True)
class Comparison:
    """How steps of several fits as one compare with those of each alone.

    Attributes
    ----------
    speedup : float
        Seconds of the steps alone, divided by those as one; 0 if they cannot be made as one.
    same : bool
        Whether all weights and buffers have the same bytes after some steps.
    reason : str
        Why the steps cannot be made as one; "" if they can.
    """

    speedup: float = 0.0
    same: bool = False
    reason: str = ""


def compare(jobs: Sequence[Job]) -> Comparison:
    """Make some steps of fits alone and as one, and compare them.

    Parameters
    ----------
    jobs : sequence of Job
        Fits whose networks have one architecture. Nothing is stored.

    See Also
    --------
    committee.training.fit.together.train_together : Makes the steps of fits as one.
    """
    device = jobs[0].device
    found: Comparison | Exception
    with preserved_generators(device):
        found = attempt(partial(_tried, [_shortened(job) for job in jobs], _sizes(jobs[0])))
    free_memory(device)
    if isinstance(found, Exception):
        return Comparison(reason=getattr(found, "reason", "") or str(found).partition("\n")[0])
    return found


class FirstStep(NamedTuple):
    """What a step of a fit takes, and whether the network draws random numbers in it.

    Attributes
    ----------
    seconds : float
    draws : bool
    """

    seconds: float
    draws: bool


def first_step(job: Job) -> FirstStep:
    """Make two steps of a fit on a CPU, of which nothing is kept; the first one allocates memory."""
    with preserved_generators(job.device):
        loop, rows = _loop(_shortened(job)), np.arange(_sizes(job)[0])
        network = loop.state.network
        weights, before = copy.deepcopy(network.state_dict()), torch.get_rng_state()
        loop.step(rows)
        draws = not torch.equal(torch.get_rng_state(), before)
        found = FirstStep(_seconds(partial(loop.step, rows)), draws)
        network.load_state_dict(weights)  # Networks of a user may share them.
        return found


def _tried(jobs: Sequence[Job], sizes: Sequence[int]) -> Comparison:
    """Compare short steps; of a network whose steps are long, make no more than two."""
    first = _loop(jobs[0])
    _, seconds = (_seconds(partial(_each, [first], np.arange(sizes[0]))) for _ in range(2))
    if seconds > LONG:
        return Comparison(reason=f"a step of one network takes {1e3 * seconds:.0f} ms, with little overhead")
    return _compared(jobs, sizes)


def _compared(jobs: Sequence[Job], sizes: Sequence[int]) -> Comparison:
    alone, joint = ([_loop(job) for job in jobs] for _ in range(2))
    rows = [np.arange(sizes[step % len(sizes)]) for step in range(STEPS)]
    stacked = StackedStep([Request(loop, rows[0]) for loop in joint])
    times = [
        (_seconds(partial(_each, alone, each)), _seconds(partial(stacked, [each] * len(jobs))))
        for each in rows
    ]
    one, other = (statistics.median(each) for each in zip(*times[FIRST:], strict=True))
    states = ([loop.state.network.state_dict() for loop in loops] for loops in (alone, joint))
    same = all(torch.equal(a[name], b[name]) for a, b in zip(*states, strict=True) for name in a)
    return Comparison(one / other, same)


def _sizes(job: Job) -> list[int]:
    """Return the sizes of the batches of an epoch: one or two."""
    batches = epoch_batches(np.zeros_like(job.rows), job.spec.batch_size, "shuffle", seed=0)
    return sorted({len(batch) for batch in batches})


def _shortened(job: Job) -> Job:
    """Return a job of few rows that judges no epochs, and is not stored."""
    return replace(
        job,
        rows=job.rows[: job.spec.batch_size],
        folder=InMemory(),
        epochs=job.epochs or job.spec.training.epochs,
    )


def _loop(job: Job) -> Loop:
    fabric = make_fabric(job.device, job.spec.training.precision)
    loop = Loop(job, fabric, own_generators(fabric.device))
    loop.state.begin_epoch("all")
    set_rate(loop.state.optimizer, loop.schedule.lr)
    return loop


def _each(loops: Sequence[Loop], rows: Rows) -> None:
    for loop in loops:
        with drawing_from(loop.state.generators, loop.fabric.device):
            loop.step(rows)


def _seconds(work: Callable[[], object]) -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - start
