"""Executor that makes the fits in this process and in worker processes of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from committee.executors.base import Executor, Report
from committee.executors.shared.division import Division, divide
from committee.executors.shared.pool import WorkerPool
from committee.executors.shared.scheduler import Scheduler
from committee.executors.shared.work import StoredWork


class Processes(Executor):
    """Makes several fits at once: one in this process, the others in worker processes of this machine.

    Workers import torch, which takes them some seconds. Unless `workers` is a number, they start when the run
    has lasted that long, so that a short run costs nothing.

    Parameters
    ----------
    workers : int or "auto"
        Number of fits at once; see `committee.executors.shared.division.divide`.

    See Also
    --------
    committee.executors.in_process.InProcess : Makes one fit at a time.
    committee.executors.ray.Ray : Makes fits on several machines.

    Examples
    --------
    >>> import torch
    >>> from committee.executors import Processes
    >>> Processes(workers=2).division(tasks=6, device=torch.device("cpu")).workers
    2
    """

    def division(self, tasks: int, device: torch.device) -> Division:
        """Divide the threads of this process; see the base class."""
        return divide(self.workers, tasks, device)

    def run(
        self, scheduler: Scheduler[Any], work: StoredWork, division: Division, report: Report
    ) -> Iterator[int]:
        """Do tasks in this thread while workers do others; see the base class."""

        def do(task: Any) -> Any:
            result = work.do(task)
            report(task, result)
            return result

        at_once = self.workers != "auto"
        pool = WorkerPool(scheduler, work, division.workers - 1, division.threads, at_once=at_once)
        with division.threads_set(), pool:
            yield from scheduler.run(do)

    def describe(self) -> str:
        """Return that fits are made by processes of this machine."""
        return "processes of this machine"
