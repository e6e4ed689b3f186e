"""Several plans cross-fitted: by this process, and by others beside it where that is faster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from committee.base.progress import bar
from committee.executors.attempt import attempt
from committee.executors.crew import Crew
from committee.executors.division import Division, Workers, divide
from committee.store.layout import Store
from committee.training.crossfit.board import FINISH, Board, Task
from committee.training.crossfit.crossfit import CrossFit, fit_names
from committee.training.plans.base import Plan


class Fits:
    """The fits of several plans, for any process that helps.

    Parameters
    ----------
    plans : sequence of Plan
    store : Store
        Held by the process that began.
    """

    def __init__(self, plans: Sequence[Plan], store: Store) -> None:
        self._made_from = (plans, store)
        self.crossfits = [CrossFit(plan, store) for plan in plans]

    def __reduce__(self) -> tuple[object, ...]:
        """Send the plans: the rows of each fold follow from them."""
        return Fits, self._made_from

    def do(self, task: Task) -> Exception | None:
        """Make a fit; return why it cannot be made."""
        return attempt(partial(self.crossfits[task.member].make, task.name))

    def name(self, task: Task) -> str:
        """Return member and fold."""
        return f"{self.crossfits[task.member].plan.name}/{task.name}"


def division_of(plans: Sequence[Plan], workers: Workers) -> Division:
    """Return how many fits of plans run at once, and with how many threads: see `divide`."""
    return divide(workers, sum(len(fit_names(plan)) for plan in plans), plans[0].device)


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
        Fits at once: see `division_of`.
    """
    fits, division = Fits(plans, store), division_of(plans, workers)
    board, count = Board(fits.crossfits), sum(len(each.names) for each in fits.crossfits)
    crew = Crew(board, fits, division.workers - 1, division.threads, at_once=workers != "auto")
    with bar(count, "fits") as step, division.threads_set(), crew:
        while (task := board.take(finishing=True)) is not None:
            if task.name != FINISH:
                board.put(task, fits.do(task))
                continue
            done = fits.crossfits[task.member]
            error = board.error(task.member) or attempt(done.finish)
            step(len(done.names))
            yield done.plan, error
