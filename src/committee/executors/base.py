"""The base class of executors: where the fits of a run are made."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from committee.base.registry import Family
from committee.executors.shared.division import Division, Workers
from committee.executors.shared.scheduler import Scheduler
from committee.executors.shared.work import StoredWork

if TYPE_CHECKING:
    import torch

Report = Callable[[Any, Any], None]
"""From a task and its result to nothing: it is called for tasks as they are finished."""


class Executor(ABC):
    """Makes the fits of a run, each as soon as the fits that it needs are made.

    The process that started the run is the only one that others see writing to the store, and the bytes of a
    result depend on the number of threads of a fit alone, not on the executor.

    A new executor is one file in `committee/executors/`, or an entry point of the group
    `committee.executors` of another package. Options are parameters of the constructor, with defaults.

    Parameters
    ----------
    workers : int or "auto"
        Largest number of fits at once: `workers` of the recipe.

    See Also
    --------
    committee.training.crossfit.crossfits.crossfit : Gives an executor the fits of several plans.

    Examples
    --------
    >>> from committee.executors.base import EXECUTORS
    >>> "in_process" in EXECUTORS.names()
    True
    """

    def __init__(self, workers: Workers = "auto") -> None:
        self.workers = workers

    @abstractmethod
    def division(self, tasks: int, device: torch.device) -> Division:
        """Return how many of some tasks are done at once, and with how many threads each.

        Parameters
        ----------
        tasks : int
            Number of all tasks of the run, including those that are done.
        device : torch.device
            The device of the process that started the run.
        """

    @abstractmethod
    def run(
        self, scheduler: Scheduler[Any], work: StoredWork, division: Division, report: Report
    ) -> Iterator[int]:
        """Do all tasks of a scheduler; yield the index of each group once it is finished.

        The store of `work` is held by this process.
        """

    @abstractmethod
    def describe(self) -> str:
        """Return in words where fits are made, for the plan of a run.

        Raises
        ------
        CommitteeError
            No fit can be made there.
        """


EXECUTORS: Family[Executor] = Family("committee.executors", "executor")
