"""Cross-fits of several plans, by this process and, where that is faster, by worker processes."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from committee.base.deadline import Deadline, current, in_effect
from committee.base.progress import Step, bar
from committee.base.text import count, duration
from committee.executors.base import EXECUTORS, Executor
from committee.executors.shared.attempt import attempt
from committee.executors.shared.division import Division, Workers
from committee.executors.shared.scheduler import Scheduler
from committee.store.layout import Store
from committee.training.crossfit.bundles import Bundle, Task, bundles_of, make_together
from committee.training.crossfit.crossfit import CrossFit, fit_names
from committee.training.crossfit.lockstep import choose
from committee.training.crossfit.pace import Pace, kind
from committee.training.fit.resume import previous
from committee.training.plans.base import Plan

LEAST_SECONDS = 10.0
"""Shortest remaining time that is logged."""

log = logging.getLogger(__name__)


Results = dict[Task, bool | Exception]


class Fits:
    """The fits of several plans, as tasks for any process.

    Parameters
    ----------
    plans : sequence of Plan
    store : Store
        Held by the process that started the run.
    deadline : Deadline, optional
        The time at which a fit stores its state and stops, in whichever process makes it.
    """

    def __init__(self, plans: Sequence[Plan], store: Store, deadline: Deadline | None = None) -> None:
        self._plans, self.store, self.deadline = plans, store, deadline or Deadline()
        self.device = plans[0].device
        self.crossfits = [CrossFit(plan, store) for plan in plans]

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the plans only: the rows of each fold follow from them."""
        return Fits, (self._plans, self.store, self.deadline)

    def do(self, bundle: Bundle) -> Results | Exception:
        """Make the fits of a bundle.

        Returns
        -------
        dict of Task to bool or Exception
            False if the store had a fit already, or the reason why it cannot be made, such as
            `UnfinishedError` if the deadline has stopped it. If all fits are of one plan, and one of them
            cannot be made, that reason alone is returned.
        """
        fits = self._of(bundle)
        with in_effect(self.deadline):
            if len(fits) > 1:
                results = dict(zip(bundle, make_together(fits), strict=True))
            else:
                results = {bundle[0]: attempt(partial(fits[0][0].make, fits[0][1]))}
        error = first_error(results, bundle)
        return results if error is None or len({task.plan for task in bundle}) > 1 else error

    def needs(self, task: Task) -> list[Task]:
        """Return the fits that must be made before a fit."""
        return [Task(task.plan, fit) for fit in self.crossfits[task.plan].needs(task.fit)]

    def name(self, bundle: Bundle) -> str:
        """Return the names of members and fits."""
        return ", ".join(f"{self.crossfits[task.plan].plan.name}/{task.fit}" for task in bundle)

    def has(self, bundle: Bundle) -> bool:
        """Return whether the store has all fits of a bundle."""
        return all(done.has(fit) for done, fit in self._of(bundle))

    def folders(self, bundle: Bundle) -> list[Path]:
        """Return the folders of the fits, for each member."""
        return [done.folder(fit, member) for done, fit in self._of(bundle) for member in done.members]

    def states(self, bundle: Bundle) -> list[Path]:
        """Return the folders of the states of the fits, and of the states before them."""
        newest = [done.store.resume(done.plan.name, fit) for done, fit in self._of(bundle)]
        return [place for each in newest for place in (each, previous(each))]

    def received(self, bundle: Bundle) -> None:
        """Link weights that the store has already, and remove the states of the fits."""
        for done, fit in self._of(bundle):
            done.received(fit)

    def alike(self, bundle: Bundle) -> tuple[object, ...]:
        """Return the kinds of the fits: members with other seeds are of one kind."""
        return tuple(kind(self.crossfits[task.plan].plan) for task in bundle)

    def files(self) -> set[Path]:
        """Return the files outside of the store that plans read."""
        return {file for plan in self._plans for file in plan.files()}

    def modules(self) -> set[str]:
        """Return the modules that build networks."""
        named = {name for plan in self._plans for name in plan.builders()}
        return {name.removeprefix("python:").partition(":")[0] for name in named}

    def _of(self, bundle: Bundle) -> list[tuple[CrossFit, str]]:
        return [(self.crossfits[task.plan], task.fit) for task in bundle]


def division_of(plans: Sequence[Plan], executor: Executor) -> Division:
    """Return how many fits of plans run at once, and with how many threads."""
    return executor.division(sum(len(fit_names(plan)) for plan in plans), plans[0].device)


def crossfit(
    plans: Sequence[Plan], store: Store, executor: Executor | Workers = "auto"
) -> Iterator[tuple[Plan, Exception | None]]:
    """Cross-fit plans; yield each plan once it is finished, with None or the reason why it failed.

    Parameters
    ----------
    plans : sequence of Plan
        Plans on one data set and one device.
    store : Store
        Held by this process.
    executor : Executor, int or "auto"
        Where the fits are made; a number is that of the processes of this machine.

    See Also
    --------
    committee.training.crossfit.crossfit.CrossFit : The cross-fit of one plan.

    Notes
    -----
    The deadline that is in effect holds for all fits. Those that cannot end by then are not started (see
    `Pace`), and one that runs then stores its state. The reason of such a plan is an `UnfinishedError`.
    """
    executor = executor if isinstance(executor, Executor) else EXECUTORS.make("processes", workers=executor)
    fits, division = Fits(plans, store, current()), division_of(plans, executor)
    with division.threads_set(), in_effect(Deadline()):
        for text in choose(fits.crossfits, division.workers):
            log.info(text)
    bundles = bundles_of(fits.crossfits, division.workers)
    total, groups = sum(map(len, bundles)), _groups(bundles)
    scheduler = _scheduler(fits, bundles, groups, division.workers)
    fits_of_members = f"{count(total, 'fit')} of {count(len(plans), 'member')}"
    log.info("%s on %s, %d at a time", fits_of_members, plans[0].device, division.workers)
    with bar(total, "fits") as advance:
        progress = _Progress(total, advance)

        def report(bundle: Bundle, result: Results | Exception) -> None:
            progress.update(_flat({**scheduler.results, bundle: result}))

        for index in executor.run(scheduler, fits, division, report):
            results = _flat(scheduler.results)
            for plan in groups[index]:
                done = fits.crossfits[plan]
                own = [Task(plan, fit) for fit in done.names]
                if not results.keys() >= set(own):  # dropped, since a fit of another plan of the group failed
                    own += [task for task in results if task.plan in groups[index]]
                yield done.plan, first_error(results, own) or attempt(done.finish)


def _scheduler(
    fits: Fits, bundles: Sequence[Bundle], groups: Sequence[Sequence[int]], workers: int
) -> Scheduler[Bundle]:
    """Return the scheduler of bundles, which refuses those that cannot end by the deadline of the fits."""
    of = {task: bundle for bundle in bundles for task in bundle}
    pace = Pace(fits.crossfits, workers, fits.deadline) if fits.deadline.is_set else None

    def needs(bundle: Bundle) -> set[Bundle]:
        return {of[needed] for task in bundle for needed in fits.needs(task)}

    def refuse(bundle: Bundle, waiting: Sequence[Bundle]) -> Exception | None:
        return None if pace is None else pace.refuse(bundle, waiting, scheduler.results)

    members = [[bundle for bundle in bundles if bundle[0].plan in group] for group in groups]
    scheduler = Scheduler(members, needs, refuse)
    return scheduler


def _groups(bundles: Sequence[Bundle]) -> list[list[int]]:
    """Return the plans that are finished at once: those of which a bundle has fits."""
    groups: list[set[int]] = []
    for bundle in bundles:
        joined = {task.plan for task in bundle}
        for other in [each for each in groups if each & joined]:
            groups.remove(other)
            joined |= other
        groups.append(joined)
    return sorted(sorted(each) for each in groups)


def _flat(results: Mapping[Bundle, Results | Exception]) -> Results:
    """Return the results of all fits; the error of a bundle is that of each of its fits."""
    found: Results = {}
    for bundle, result in results.items():
        found |= dict.fromkeys(bundle, result) if isinstance(result, Exception) else result
    return found


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
