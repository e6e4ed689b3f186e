"""Independent tasks, done by several processes at once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, TypeVar

import torch

from committee.base.progress import bar
from committee.executors.shared.division import Workers, divide
from committee.executors.shared.pool import WorkerPool
from committee.executors.shared.scheduler import Scheduler
from committee.executors.shared.work import Work

Task = TypeVar("Task", bound=Hashable)


def do_all(work: Work, tasks: Sequence[Task], workers: Workers, what: str) -> dict[Task, Any]:
    """Do each task once, on the CPU, in this process and in worker processes; return the results by task.

    Parameters
    ----------
    work : Work
        Its results must be picklable.
    tasks : sequence
        All different.
    workers : int or "auto"
        See `divide`.
    what : str
        Description of the tasks in front of the progress bar.

    See Also
    --------
    committee.training.crossfit.crossfits.crossfit : Does tasks that depend on each other.

    Examples
    --------
    >>> class Squares:
    ...     def do(self, task):
    ...         return task**2
    ...     def name(self, task):
    ...         return f"square of {task}"
    >>> do_all(Squares(), [1, 2, 3], workers=1, what="squares")
    {1: 1, 2: 4, 3: 9}
    """
    division = divide(workers, len(tasks), torch.device("cpu"))
    scheduler = Scheduler([[task] for task in tasks])
    pool = WorkerPool(scheduler, work, division.workers - 1, division.threads, at_once=workers != "auto")
    with bar(len(tasks), what) as step, division.threads_set(), pool:
        for _ in scheduler.run(work.do):
            step(1)
    return {task: scheduler.results[task] for task in tasks}
