"""How the threads of this process are divided among tasks that run at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch

Workers = int | Literal["auto"]

MOST = 8
"""Tasks at once, unless the recipe says so: each is a process that needs memory of its own."""


@dataclass(frozen=True)
class Division:
    """So many tasks at once, each in a process of its own with so many threads.

    What a task makes depends on its threads to the last bit, and not on how many tasks run at once.
    """

    workers: int
    threads: int

    @contextlib.contextmanager
    def threads_set(self) -> Iterator[None]:
        """Run the block with a task's share of the threads."""
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


def divide(wanted: Workers, tasks: int, device: torch.device) -> Division:
    """Divide the threads that this process may use.

    Parameters
    ----------
    wanted : int or "auto"
        The recipe's `workers`. `auto` is one for each thread of a CPU, as small networks gain little from a
        second thread and lose much on a busy machine; and one on a GPU.
    tasks : int
        All of the run, those that are done included: so a run that goes on divides as it did before.
    device : torch.device
    """
    threads = torch.get_num_threads()
    most = min(threads, MOST) if device.type == "cpu" else 1
    workers = max(1, min(most if wanted == "auto" else wanted, tasks))
    return Division(workers, max(1, threads // workers))
