"""Several fits at once in threads of this process, each of which makes its own steps."""

from __future__ import annotations

import collections
import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch

from committee.executors.shared.division import Division
from committee.training.fit.job import Job, Trained
from committee.training.fit.started import StartedFit, carry_out

STEPS = 16
"""Steps of a fit in one go, between which a thread takes that which has waited the longest."""

TRIAL = 0.1
"""Seconds in which one thread, and then all of them, make steps, to compare them."""

LEAST = 1.1
"""Speedup from which fits run at once: Python runs in one thread at a time."""

AT_ONCE = "%s and others: %d fits at once, %.1f times the steps a second of one after the other"

log = logging.getLogger(__name__)


class NotApartError(Exception):
    """What one fit does changes another one, so that they must not run at once; the message says why."""


def train_at_once(jobs: Sequence[Job], division: Division) -> list[Trained | Exception]:
    """Carry out fits in several threads of this process.

    Operations of torch let other threads run, and those of one thread each take all cores of a CPU with less
    overhead than one fit after the other whose operations are divided. The Python between them does not:
    after the first steps, other threads are used only if they make more steps a second.

    Parameters
    ----------
    jobs : sequence of Job
        Fits on a CPU whose networks draw no random numbers in training, since all threads share the
        generators of the process.
    division : Division
        Number of threads with a fit each, and of the threads of an operation.

    Returns
    -------
    list of Trained or Exception
        For each job, its result or the reason why it failed: the same bytes as from one after the other with
        as many threads of an operation.

    Raises
    ------
    KeyboardInterrupt
        A signal asked the process to end. The states of all fits have been stored.
    NotApartError
        A network has drawn random numbers, or networks share parameters: carry out the fits in turns.

    See Also
    --------
    committee.training.fit.together.train_together : One thread that makes the steps of all fits as one.
    """
    return carry_out(jobs, partial(_in_threads, division=division))


def _in_threads(fits: Sequence[StartedFit], division: Division) -> None:
    """Advance fits until they end: in this thread, and in others if that makes more steps a second."""
    if _share_memory(fits):
        raise NotApartError("networks share parameters")
    before, work = torch.get_rng_state(), _Work(fits, division.threads)
    with division.threads_set():
        alone = work(TRIAL)
        several = _at_once(partial(work, TRIAL), division.workers, work.over)
        if work.waiting and several > LEAST * alone:
            log.info(AT_ONCE, fits[0].job.spec.name, division.workers, several / alone)
            _at_once(work, division.workers, work.over)
        work()
    if not torch.equal(torch.get_rng_state(), before):
        raise NotApartError("networks draw random numbers in training")


class _Work:
    """Makes steps of the fits that wait; any number of threads can call it.

    Attributes
    ----------
    waiting : deque of StartedFit
        Those that have not ended, and that no thread is at work on.
    over : Event
        Set if all threads are to stop.
    """

    def __init__(self, fits: Sequence[StartedFit], threads: int) -> None:
        self.waiting, self.over, self.threads = collections.deque(fits), threading.Event(), threads

    def __call__(self, seconds: float = math.inf) -> float:
        """Make steps until no fit waits, or for some seconds; return how many a second."""
        torch.set_num_threads(self.threads)
        start, count = time.perf_counter(), 0
        while not self.over.is_set() and time.perf_counter() - start < seconds:
            try:
                fit = self.waiting.popleft()
            except IndexError:
                break
            for _ in range(STEPS):
                if fit.request is not None and not self.over.is_set():
                    fit.advance(fit.step(draws=False))
                    count += 1
            if fit.request is not None:
                self.waiting.append(fit)
        return count / (time.perf_counter() - start)


def _at_once(work: Callable[[], float], threads: int, over: threading.Event) -> float:
    """Work in several threads, of which this is one; return the sum of what they return."""
    found = list[float]()
    others = [threading.Thread(target=lambda: found.append(work()), daemon=True) for _ in range(threads - 1)]
    for thread in others:
        thread.start()
    try:
        found.append(work())
        _wait(others)
    except BaseException:
        over.set()
        _wait(others)
        raise
    return sum(found)


def _wait(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        while thread.is_alive():
            thread.join(0.5)  # Windows cannot interrupt that without a limit.


def _share_memory(fits: Sequence[StartedFit]) -> bool:
    """Return whether a parameter or buffer belongs to several networks."""
    networks = [fit.loop.state.network for fit in fits if fit.request is not None]
    places = [
        {each.data_ptr() for each in itertools.chain(network.parameters(), network.buffers()) if each.numel()}
        for network in networks
    ]
    return len(set().union(*places)) < sum(map(len, places))
