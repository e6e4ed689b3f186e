"""Several fits at once in threads of this process, each of which makes its own steps."""

from __future__ import annotations

import collections
import itertools
import threading
from collections.abc import Sequence
from functools import partial

import torch

from committee.executors.division import Division
from committee.training.fit.job import Job, Trained
from committee.training.fit.started import StartedFit, carry_out

STEPS = 16
"""Steps of a fit in one go, between which a thread takes that which has waited the longest."""


class NotApartError(Exception):
    """What one fit does changes another one, so that they must not run at once; the message says why."""


def train_at_once(jobs: Sequence[Job], division: Division) -> list[Trained | Exception]:
    """Carry out fits in several threads of this process.

    Operations of torch let other threads run, and those of one thread each take all cores of a CPU with less
    overhead than one fit after the other whose operations are divided.

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
    """Advance fits until they end, in this thread and in others."""
    waiting, over = collections.deque(fits), threading.Event()

    def work() -> None:
        torch.set_num_threads(division.threads)
        while waiting and not over.is_set():
            fit = waiting.popleft()
            for _ in range(STEPS):
                if fit.request is not None and not over.is_set():
                    fit.advance(fit.step(draws=False))
            if fit.request is not None:
                waiting.append(fit)

    if _share_memory(fits):
        raise NotApartError("networks share parameters")
    before = torch.get_rng_state()
    others = [threading.Thread(target=work, daemon=True) for _ in range(division.workers - 1)]
    for thread in others:
        thread.start()
    try:
        with division.threads_set():
            work()
            _wait(others)
    finally:
        over.set()
        _wait(others)
    if not torch.equal(torch.get_rng_state(), before):
        raise NotApartError("networks draw random numbers in training")


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
