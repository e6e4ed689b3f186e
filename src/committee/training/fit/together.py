"""Several fits in one process, whose steps are made as one where their networks have one architecture."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence, Set
from functools import partial

from torch import Tensor

from committee.executors.shared.attempt import attempt
from committee.training.fit.engine import processes
from committee.training.fit.job import Job, Trained
from committee.training.fit.loop import Loop
from committee.training.fit.stacked_step import StackedStep
from committee.training.fit.started import StartedFit, carry_out
from committee.training.fit.train import free_memory, train_job

LASTING = 3
"""Steps in which other fits than those of a stack are alike, before they are stacked instead."""

APART = "%s: each fit makes its own steps from now on, since one of all has failed: %s"

log = logging.getLogger(__name__)


def train_together(jobs: Sequence[Job]) -> list[Trained | Exception]:
    """Carry out fits in lockstep: a step of all of them is one forward, one backward and one update.

    Each fit has its own rows, order, random draws, augmentation, loss, learning rate, early stopping, moving
    averages and stored state, as alone. A step in which batches have different sizes is made by each fit
    alone. A fit that ends, fails, is rolled back or runs out of memory leaves the others.

    Parameters
    ----------
    jobs : sequence of Job
        Fits on one device. The state that each stores is the same as that of a fit alone, so that either can
        continue it.

    Returns
    -------
    list of Trained or Exception
        For each job, its result or the reason why it failed.

    Raises
    ------
    KeyboardInterrupt
        A signal asked the process to end. The states of all fits have been stored.

    See Also
    --------
    committee.training.fit.train.train : A single fit.
    StackedStep : A step of several fits.

    Notes
    -----
    The results are those of the fits one after the other up to the rounding of matrix products and
    convolutions. On a GPU, dropout draws other numbers than alone.

    References
    ----------
    S. Wang et al., "Horizontally fused training array: An effective hardware utilization squeezer for
    training novel deep learning models", MLSys 2021.
    """
    if len(jobs) < 2 or processes(jobs[0].device) > 1:
        return [attempt(partial(train_job, job)) for job in jobs]
    return carry_out(jobs, _in_lockstep)


def _in_lockstep(fits: Sequence[StartedFit]) -> None:
    lockstep = _Lockstep()
    while going := [fit for fit in fits if fit.request]:
        for fit, outcome in zip(going, lockstep.steps(going), strict=True):
            fit.advance(outcome)
    lockstep.close()


class _Lockstep:
    """Makes one step of each of several fits, as one where that is possible."""

    def __init__(self) -> None:
        self._stacked: StackedStep | None = None
        self._possible, self._wanted, self._times = True, list[Loop](), 0

    def steps(self, fits: Sequence[StartedFit]) -> list[Tensor | Exception]:
        """Make the step that each fit asks for; return the outcomes."""
        alike = _largest_group([fit for fit in fits if fit.keeps_pace()])
        self._stack(alike, {fit.loop for fit in fits if fit.keeps_pace()})
        found: dict[int, Tensor] = {}
        if self._stacked is not None and self._stacked.loops == [fit.loop for fit in alike]:
            found = dict(zip(map(id, alike), self._stacked_steps(alike), strict=False))
        return [found[id(fit)] if id(fit) in found else fit.step() for fit in fits]

    def _stack(self, fits: Sequence[StartedFit], going_on: Set[Loop]) -> None:
        """Stack fits, unless others are stacked and only their present batches are of different sizes."""
        loops = [fit.loop for fit in fits]
        self._times = self._times + 1 if self._wanted == loops else 0
        self._wanted = loops
        stacked = loops if self._stacked is None else self._stacked.loops
        if stacked != loops and (self._times >= LASTING or not going_on >= set(stacked)):
            self.close(going_on)
        if self._stacked is None and len(fits) > 1 and self._possible:
            self._open(fits)

    def close(self, going_on: Set[Loop] = frozenset()) -> None:
        """Give each network its own memory again."""
        if self._stacked is not None:
            self._stacked.close(going_on)
            self._stacked = None

    def _open(self, fits: Sequence[StartedFit]) -> None:
        made = attempt(partial(StackedStep, [fit.request for fit in fits if fit.request]))
        if isinstance(made, StackedStep):
            self._stacked = made
        else:
            self._give_up(fits, made)

    def _stacked_steps(self, fits: Sequence[StartedFit]) -> list[Tensor]:
        """Make one step of all fits; return nothing if that has failed, and each is to make its own."""
        assert self._stacked is not None
        made = attempt(partial(self._stacked, [fit.request.positions for fit in fits if fit.request]))
        if isinstance(made, Exception):
            self.close({fit.loop for fit in fits})
            self._give_up(fits, made)
            return []
        return made

    def _give_up(self, fits: Sequence[StartedFit], reason: Exception) -> None:
        self._possible = False
        free_memory(fits[0].job.device)
        text = getattr(reason, "reason", "") or str(reason).partition("\n")[0]
        names = ", ".join(fit.job.name for fit in fits)
        log.warning(APART, names, text)


def _largest_group(fits: Sequence[StartedFit]) -> list[StartedFit]:
    """Return the fits whose next batch has the most frequent shape."""
    shapes = Counter(fit.shape() for fit in fits)
    most = max(shapes, key=lambda shape: shapes[shape], default=None)
    return [fit for fit in fits if fit.shape() == most]
