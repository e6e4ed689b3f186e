"""Cross-fits of several plans, by this process and, where that is faster, by worker processes."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from committee.base.progress import Step, bar
from committee.base.text import count, duration
from committee.executors.attempt import attempt
from committee.executors.division import Division, Workers, divide
from committee.executors.pool import WorkerPool
from committee.executors.scheduler import Scheduler
from committee.store.layout import Store
from committee.training.crossfit.crossfit import CrossFit, fit_names
from committee.training.plans.base import Plan

LEAST_SECONDS = 10.0
"""Shortest remaining time that is logged."""

log = logging.getLogger(__name__)


class Task(NamedTuple):
    """The fit `fit` of the plan with the index `plan`."""

    plan: int
    fit: str


class Fits:
    """The fits of several plans, as tasks for any process.

    Parameters
    ----------
    plans : sequence of Plan
    store : Store
        Held by the process that started the run.
    """

    def __init__(self, plans: Sequence[Plan], store: Store) -> None:
        self._plans, self._store = plans, store
        self.crossfits = [CrossFit(plan, store) for plan in plans]

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the plans only: the rows of each fold follow from them."""
        return Fits, (self._plans, self._store)

    def tasks(self) -> list[list[Task]]:
        """Return the fits of each plan."""
        return [[Task(index, fit) for fit in each.names] for index, each in enumerate(self.crossfits)]

    def needs(self, task: Task) -> list[Task]:
        """Return the fits that must be made before a fit."""
        return [Task(task.plan, fit) for fit in self.crossfits[task.plan].needs(task.fit)]

    def do(self, task: Task) -> bool | Exception:
        """Make a fit; return False if the store had it already, or the reason why it cannot be made."""
        return attempt(partial(self.crossfits[task.plan].make, task.fit))

    def name(self, task: Task) -> str:
        """Return the names of member and fit."""
        return f"{self.crossfits[task.plan].plan.name}/{task.fit}"


def division_of(plans: Sequence[Plan], workers: Workers) -> Division:
    """Return how many fits of plans run at once, and with how many threads; see `divide`."""
    return divide(workers, sum(len(fit_names(plan)) for plan in plans), plans[0].device)


def crossfit(
    plans: Sequence[Plan], store: Store, workers: Workers = "auto"
) -> Iterator[tuple[Plan, Exception | None]]:
    """Cross-fit plans; yield each plan once it is finished, with None or the reason why it failed.

    Parameters
    ----------
    plans : sequence of Plan
        Plans on one data set and one device.
    store : Store
        Held by this process.
    workers : int or "auto"
        Number of fits at once; see `division_of`.

    See Also
    --------
    committee.training.crossfit.crossfit.CrossFit : The cross-fit of one plan.
    """
    fits, division = Fits(plans, store), division_of(plans, workers)
    tasks = fits.tasks()
    scheduler = Scheduler(tasks, fits.needs)
    pool = WorkerPool(scheduler, fits, division.workers - 1, division.threads, at_once=workers != "auto")
    total = sum(map(len, tasks))
    fits_of_members = f"{count(total, 'fit')} of {count(len(plans), 'member')}"
    log.info("%s on %s, %d at a time", fits_of_members, plans[0].device, division.workers)
    with bar(total, "fits") as advance, division.threads_set(), pool:
        progress = _Progress(total, advance)

        def do(task: Task) -> bool | Exception:
            result = fits.do(task)
            progress.update({**scheduler.results, task: result})
            return result

        for index in scheduler.run(do):
            done = fits.crossfits[index]
            error = first_error(scheduler.results, tasks[index]) or attempt(done.finish)
            yield done.plan, error


def first_error(results: Mapping[Task, Any], tasks: Sequence[Task]) -> Exception | None:
    """Return the reason of the first fit that failed, or None."""
    found = (results[task] for task in tasks if task in results)
    return next((result for result in found if isinstance(result, Exception)), None)


class _Progress:
    """Shows how many fits are done, and logs an estimate of the time that the others will take.

    Parameters
    ----------
    total : int
        Number of all fits.
    advance : Step
        Advances the progress bar.
    """

    def __init__(self, total: int, advance: Step) -> None:
        self.total, self.advance = total, advance
        self.start, self.shown = time.monotonic(), 0

    def update(self, results: Mapping[Task, bool | Exception]) -> None:
        """Show the results so far, of which False is a fit that the store had already."""
        self.advance(len(results) - self.shown)
        self.shown = len(results)
        made = sum(result is not False for result in results.values())
        left = self.total - len(results)
        seconds = left * (time.monotonic() - self.start) / max(made, 1)
        if made and left and seconds >= LEAST_SECONDS:
            text = duration(seconds / 3600)
            log.info("%d of %d fits done, about %s left", len(results), self.total, text)
