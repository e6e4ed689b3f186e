"""Several plans cross-fitted: by this process, and by helpers beside it where that is faster."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from committee.progress import bar
from committee.recipe.training import Workers
from committee.store.layout import Store
from committee.training.attempt import attempt
from committee.training.board import FINISH, Board
from committee.training.crew import Crew
from committee.training.crossfit import CrossFit
from committee.training.plans._base import Plan

MOST = 8
"""Fits at once, unless the recipe says so: each is a process that needs memory of its own."""


@dataclass(frozen=True)
class Division:
    """How fits divide a machine: so many at once, each in a process of its own with so many threads.

    Bytes depend on the threads of a fit and not on how many fits run at once.
    """

    workers: int
    threads: int


def divide(wanted: Workers, fits: int, device: torch.device) -> Division:
    """Divide the threads that this process may use.

    Parameters
    ----------
    wanted : int or "auto"
        `training.workers`. `auto` is one for each thread on a CPU, as small networks gain little from a
        second thread and lose much on a busy machine; and one on a GPU.
    fits : int
        All of the run, those that are stored included: so a run that goes on divides as it did before.
    device : torch.device
    """
    threads = torch.get_num_threads()
    most = min(threads, MOST) if device.type == "cpu" else 1
    workers = max(1, min(most if wanted == "auto" else wanted, fits))
    return Division(workers, max(1, threads // workers))


def crossfit(
    plans: Sequence[Plan], store: Store, workers: Workers = "auto"
) -> Iterator[tuple[Plan, Exception | None]]:
    """Carry out plans, and yield each with None when it is done, or with the reason why it cannot be.

    Parameters
    ----------
    plans : sequence of Plan
        Of one data set and one device.
    store : Store
        Held by this process.
    workers : int or "auto"
        See `divide`.
    """
    crossfits = [CrossFit(plan, store) for plan in plans]
    fits = sum(len(each.names) for each in crossfits)
    division = divide(workers, fits, plans[0].device)
    board = Board(crossfits)
    with (
        bar(fits, "fits") as step,
        threads_of_torch(division.threads),
        Crew(board, plans, store, division.workers - 1, division.threads, at_once=workers != "auto"),
    ):
        while (task := board.take(finishing=True)) is not None:
            fits_of = crossfits[task.member]
            if task.name == FINISH:
                error = board.error(task.member) or attempt(fits_of.finish)
                step(len(fits_of.names))
                yield fits_of.plan, error
            else:
                board.put(task, attempt(partial(fits_of.make, task.name)))


@contextlib.contextmanager
def threads_of_torch(count: int) -> Iterator[None]:
    """Run the block with so many threads in an operation of torch."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
