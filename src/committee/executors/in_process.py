"""Executor that makes the fits in the process that started the run, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from committee.errors import UsageError
from committee.executors.base import Executor, Report
from committee.executors.shared.division import Division, Workers, divide
from committee.executors.shared.scheduler import Scheduler
from committee.executors.shared.work import StoredWork


class InProcess(Executor):
    """Makes fits in this process, one after the other, with all of its threads.

    It starts nothing, so that a debugger and a profiler see each fit.

    Parameters
    ----------
    workers : 1 or "auto"
        Number of fits at once.

    Raises
    ------
    UsageError
        `workers` is another number.

    See Also
    --------
    committee.executors.processes.Processes : Makes several fits at once.

    Examples
    --------
    >>> import torch
    >>> from committee.executors import InProcess
    >>> InProcess().division(tasks=6, device=torch.device("cpu")).workers
    1
    """

    def __init__(self, workers: Workers = "auto") -> None:
        super().__init__(workers)
        if workers not in ("auto", 1):
            raise UsageError(
                "workers",
                expected="1 or auto with executor: in_process",
                got=str(workers),
                todo="Set executor=processes.",
            )

    def division(self, tasks: int, device: torch.device) -> Division:
        """Return a division with one task at once; see the base class."""
        return divide(1, tasks, device)

    def run(
        self, scheduler: Scheduler[Any], work: StoredWork, division: Division, report: Report
    ) -> Iterator[int]:
        """Do all tasks in this thread; see the base class."""

        def do(task: Any) -> Any:
            result = work.do(task)
            report(task, result)
            return result

        with division.threads_set():
            yield from scheduler.run(do)

    def describe(self) -> str:
        """Return that fits are made in this process."""
        return "this process"
