"""The fits of a run: which are to be made, being made and made. All that carry them out read it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from committee.training.crossfit.crossfit import CrossFit

FINISH = "finish"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """The fit `name` of the cross-fit number `member`; or to finish that one, once no fit is left."""

    member: int
    name: str


@dataclass
class _State:
    """How far a cross-fit is."""

    fits: CrossFit
    waiting: list[str]
    running: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)
    errors: dict[str, Exception] = field(default_factory=dict)

    def ready(self) -> str | None:
        """Return the first fit that can be made now."""
        return next((name for name in self.waiting if self.made.issuperset(self.fits.needs(name))), None)


class Board:
    """Deals the fits of several cross-fits, in their order.

    A fit that fails takes back those of its cross-fit that nobody has begun.

    Parameters
    ----------
    crossfits : sequence of CrossFit
    """

    def __init__(self, crossfits: Sequence[CrossFit]) -> None:
        self._states = [_State(fits, list(fits.names)) for fits in crossfits]
        self._unfinished = list(range(len(crossfits)))
        self._change = threading.Condition()
        self._closed = False

    def take(self, finishing: bool = False) -> Task | None:
        """Return what to do next, as soon as there is something; None when there will be nothing.

        Parameters
        ----------
        finishing : bool
            Whether the caller also finishes cross-fits. One caller does, and is the last to get None.
        """
        with self._change:
            while not self._closed:
                if (task := self._next(finishing)) is not None:
                    return task
                if not (self._unfinished if finishing else self._fits_left()):
                    return None
                # Not for ever: Windows cannot interrupt that.
                self._change.wait(0.5)
        return None

    def _next(self, finishing: bool) -> Task | None:
        for member in self._unfinished:
            state = self._states[member]
            if finishing and not state.waiting and not state.running:
                self._unfinished.remove(member)
                return Task(member, FINISH)
            if (name := state.ready()) is not None:
                if not state.made and not state.running:
                    plan = state.fits.plan
                    log.info("%s: %s on %s", plan.name, ", ".join(state.fits.names), plan.device)
                state.waiting.remove(name)
                state.running.add(name)
                return Task(member, name)
        return None

    def _fits_left(self) -> bool:
        return any(state.waiting for state in self._states)

    def put(self, task: Task, error: Exception | None) -> None:
        """Take in that a fit is made, or why it cannot be."""
        with self._change:
            state = self._states[task.member]
            state.running.remove(task.name)
            if error is None:
                state.made.add(task.name)
            else:
                state.errors[task.name] = error
                state.waiting.clear()
            self._change.notify_all()

    def put_back(self, task: Task) -> None:
        """Take in that nobody makes the fit after all."""
        with self._change:
            state = self._states[task.member]
            state.running.remove(task.name)
            state.waiting.insert(0, task.name)
            self._change.notify_all()

    def error(self, member: int) -> Exception | None:
        """Return why a cross-fit cannot be finished: the reason of its first fit that failed."""
        state = self._states[member]
        return next((state.errors[name] for name in state.fits.names if name in state.errors), None)

    def close(self) -> None:
        """Deal nothing more."""
        with self._change:
            self._closed = True
            self._change.notify_all()
