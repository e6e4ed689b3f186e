"""Division of the threads of this process among tasks that run at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Workers = int | Literal["auto"]

MOST = 8
"""Largest number of tasks at once with `auto`: each is a process that needs its own memory."""


@dataclass(frozen=True)
class Division:
    """Number of tasks that run at once, each in its own process, and of the threads of each.

    The number of threads can change the last bits of a result; the number of tasks at once cannot.

    Attributes
    ----------
    workers : int
        Tasks at once.
    threads : int
        Threads of each.

    See Also
    --------
    divide : Choose a division.

    Examples
    --------
    >>> import torch
    >>> with Division(workers=2, threads=1).threads_set():
    ...     torch.get_num_threads()
    1
    """

    workers: int
    threads: int

    @contextlib.contextmanager
    def threads_set(self) -> Iterator[None]:
        """Run the block with the number of threads of one task."""
        import torch

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
        `workers` of the recipe. `auto` is one task per thread on a CPU, since small networks gain little from
        a second thread and lose much on a busy machine, and a single task on a GPU.
    tasks : int
        Number of all tasks of the run, including those that are done, so that a continued run is divided as
        before.
    device : torch.device

    Examples
    --------
    >>> import torch
    >>> divide(2, tasks=1, device=torch.device("cpu")).workers
    1
    """
    import torch

    threads = torch.get_num_threads()
    most = min(threads, MOST) if device.type == "cpu" else 1
    workers = max(1, min(most if wanted == "auto" else wanted, tasks))
    return Division(workers, max(1, threads // workers))
