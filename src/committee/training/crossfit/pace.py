"""How long fits take, by fits of the same kind that were made, and which of them can end by a deadline."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from committee.base.deadline import Deadline
from committee.base.text import count, lack_of_time
from committee.errors import StoreError, UnfinishedError
from committee.store.manifest import read_manifest
from committee.training.crossfit.bundles import Bundle, Task
from committee.training.crossfit.crossfit import OTHER_SPLITS, CrossFit, foresee
from committee.training.fit.journal import CSV_NAME, epoch_seconds
from committee.training.plans.base import Plan
from committee.training.plans.shared.of_backbone import OfBackbone

PREDICTION = 1 / 3
"""Time of the prediction of a row, as a share of that of a training step for a row."""


class Pace:
    """Estimates the time of fits, and refuses those that cannot end by the deadline.

    The time of a fit follows from the epochs of fits of the same plan, backbone, size of images and batch,
    which the store has from this run or an earlier one. It is proportional to the number of rows, epochs and
    networks. A fit of which nothing is known is not refused before the deadline.

    Parameters
    ----------
    crossfits : sequence of CrossFit
    workers : int
        Number of fits at once.
    deadline : Deadline

    See Also
    --------
    committee.executors.shared.scheduler.Scheduler : Asks `refuse` before it hands out a task.
    """

    def __init__(self, crossfits: Sequence[CrossFit], workers: int, deadline: Deadline) -> None:
        self.crossfits, self.workers, self.deadline = crossfits, workers, deadline
        self.stored = {
            Task(index, fit)
            for index, each in enumerate(crossfits)
            for fit, is_stored in foresee(each.plan, each.store).items()
            if is_stored
        }
        self._rates: dict[tuple[object, ...], list[float]] = {}
        self._measured = set[Task]()
        self._measure(self.stored)

    def refuse(
        self, bundle: Bundle, waiting: Sequence[Bundle], results: Mapping[Bundle, Any]
    ) -> UnfinishedError | None:
        """Return why fits are not started, or None if they can end by the deadline.

        They are refused, too, if the other fits of their members cannot end: these would remain incomplete,
        while the fits of other members may end.

        Parameters
        ----------
        bundle : tuple of Task
            The fits that could be started.
        waiting : sequence of tuple of Task
            All fits of the same members that have not been started.
        results : mapping
            What is finished: by bundle, an Exception, or for each task whether it was made.
        """
        missing = [each for each in waiting if not self.stored.issuperset(each)]
        if bundle not in missing:
            return None
        for each, result in results.items():
            if not isinstance(result, Exception):
                self._measure([task for task in each if not isinstance(result[task], Exception)])
        left, wanted = self.deadline.left(), self.seconds(missing)
        if 0 < left >= wanted:
            return None
        names = dict.fromkeys(self.crossfits[task.plan].plan.name for each in missing for task in each)
        fits = count(sum(map(len, missing)), "fit")
        return UnfinishedError(
            f"{', '.join(names)}: {fits} not started, since {lack_of_time(left, wanted)}",
            todo="Run the same command again, with more time, to continue.",
        )

    def seconds(self, bundles: Sequence[Bundle]) -> float:
        """Return the least time of fits that run at once where they can: 0 for what is not known."""
        each = {bundle: self._of_bundle(bundle) for bundle in bundles}
        last = [bundle for bundle in bundles if self._waits(bundle)]
        first = [bundle for bundle in bundles if bundle not in last]
        return sum(self._at_once([each[bundle] for bundle in part]) for part in (first, last))

    def _at_once(self, seconds: Sequence[float]) -> float:
        return max(max(seconds, default=0.0), sum(seconds) / self.workers)

    def _waits(self, bundle: Bundle) -> bool:
        return any(self.crossfits[task.plan].needs(task.fit) for task in bundle)

    def _of_bundle(self, bundle: Bundle) -> float:
        """Return the time of fits: of those in lockstep, each takes the time of all."""
        return max((self.of(task) or 0.0 for task in bundle if task not in self.stored), default=0.0)

    def of(self, task: Task) -> float | None:
        """Return the seconds of a fit, or None if no fit of its kind was made."""
        each = self.crossfits[task.plan]
        rates = self._rates.get(kind(each.plan))
        return None if not rates else statistics.median(rates) * work(each, task.fit)

    def _measure(self, tasks: Sequence[Task] | set[Task]) -> None:
        for task in tasks:
            if task not in self._measured:
                self._measured.add(task)
                each = self.crossfits[task.plan]
                seconds = epochs_took(each.folder(task.fit))
                if seconds:
                    work_done = work(each, task.fit, predicts=False)
                    self._rates.setdefault(kind(each.plan), []).append(seconds / work_done)


def kind(plan: Plan) -> tuple[object, ...]:
    """Return what fits have in common that take the same time for each row, epoch and network."""
    if isinstance(plan, OfBackbone):
        spec = plan.spec
        return (plan.key, spec.backbone, spec.img_size, spec.batch_size)
    return (type(plan).__module__, plan.name)


def work(crossfit: CrossFit, fit: str, *, predicts: bool = True) -> float:
    """Return the rows that the networks of a fit are trained on, once for each epoch, and predict."""
    plan = crossfit.plan
    epochs = plan.spec.training.epochs if isinstance(plan, OfBackbone) else 1
    train, held_out = crossfit.row_counts(fit)
    others = sum(len(plan.dataset.rows(split)) for split in OTHER_SPLITS) + held_out
    return plan.networks * (train * epochs + predicts * PREDICTION * others)


def epochs_took(folder: Path) -> float | None:
    """Return the seconds of the epochs of a stored fit; None without a record, as of an adopted network.

    Networks that were trained in lockstep share their time.
    """
    seconds = epoch_seconds(folder)
    try:
        stacked = read_manifest(folder, verify=False).facts.get("stacked", False)
    except StoreError:
        return None
    return seconds / len(list(folder.glob(f"*{CSV_NAME}"))) if seconds and stacked else seconds
