"""The time limit of a run: how it is divided among the stages."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

from committee.base.deadline import Deadline, in_effect, seconds_of
from committee.base.text import duration
from committee.errors import StoreError, UnfinishedError
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.run_record import read_run
from committee.pipeline.stages.base import Stage
from committee.recipe.model import Recipe
from committee.store.layout import Store

SHARE = 0.1
"""Share of the limit that is reserved for the stages after training, if no run of the store has measured
them."""
MOST = 0.5
"""Largest share of the limit that is reserved for them."""


class TimeLimit:
    """Gives each stage a deadline that leaves time for the stages after it.

    Stages that train stop at their deadline. After the limit, a stage that the result does not need
    (`optional`) is not started; the others, which combine, evaluate and export, are.

    Parameters
    ----------
    recipe : Recipe
        Its key `time_limit` has the limit, from now on.
    store : Store
        The times of the later stages are those of its last run, in proportion to the number of members.
    clock : callable
        Returns the time in seconds.
    """

    def __init__(self, recipe: Recipe, store: Store, clock: Callable[[], float] = time.time) -> None:
        self.text, self.clock, self.start = recipe.time_limit, clock, clock()
        self.limit = None if self.text is None else seconds_of(self.text)
        try:
            before = read_run(store) if self.text is not None else {}
        except StoreError:  # a damaged record must not stop a run
            before = {}
        self._seconds: dict[str, float] = before.get("seconds", {})
        self._growth = max(1.0, len(recipe.members()) / max(1, before.get("members", 1)))

    @property
    def end(self) -> Deadline:
        """The end of the limit."""
        return Deadline() if self.limit is None else Deadline(self.start + self.limit, self.clock)

    def reserved(self, stages: Sequence[Stage]) -> float:
        """Return the seconds that stages are expected to take, within the largest share of the limit.

        Those that no run has measured take equal parts of a fixed share.
        """
        if self.limit is None or not stages:
            return 0.0
        part = SHARE * self.limit / len(stages)
        measured = {key: self._growth * seconds for key, seconds in self._seconds.items()}
        return min(MOST * self.limit, sum(measured.get(stage.key, part) for stage in stages))

    def deadline(self, later: Sequence[Stage]) -> Deadline:
        """Return the deadline of a stage that is followed by other stages."""
        return Deadline(self.end.end - self.reserved(later), self.clock)

    @contextlib.contextmanager
    def of_stage(self, stage: Stage, later: Sequence[Stage]) -> Iterator[None]:
        """Run the block, a stage that is followed by others, with its deadline in effect.

        Raises
        ------
        UnfinishedError
            The limit is over, and the result does not need this stage.
        """
        if stage.optional and self.end.is_over():
            raise UnfinishedError(
                f"{stage.key}: not started, since the time limit of {self.text} is over",
                todo="Run the same command again, with more time, to continue.",
            )
        with in_effect(self.deadline(later)):
            yield

    def require_some(self, outcome: Outcome) -> None:
        """Raise UnfinishedError if the limit left no time for any member."""
        if outcome.unfinished and not outcome.done:
            first, *others = outcome.unfinished.values()
            more = f" (and {len(others)} more)" if others else ""
            raise UnfinishedError(
                "time_limit", expected=f"a trained member within {self.text}", got=f"none: {first}{more}"
            )

    def about(self, outcome: Outcome) -> dict[str, object] | None:
        """Return the limit, what was used of it, and what it left no time for; None without a limit."""
        if self.limit is None:
            return None
        used = round(self.clock() - self.start, 3)
        return {"seconds": self.limit, "used": used, "unfinished": outcome.unfinished}


def describe(
    limit: TimeLimit, later: Sequence[Stage], hours: dict[str, float | None]
) -> tuple[str, list[str]]:
    """Return what would be trained within a limit, as a sentence, and the members that would not be.

    Parameters
    ----------
    limit : TimeLimit
    later : sequence of Stage
        The stages after training.
    hours : dict of str to float or None
        Estimated hours of each member with all workers, in the order of training; None if it cannot be made.
    """
    assert limit.limit is not None
    reserved = limit.reserved(later)
    left, within, without = (limit.limit - reserved) / 3600, list[str](), list[str]()
    for name, its in hours.items():
        if its is None:
            continue
        fits = its <= left
        (within if fits else without).append(name)
        left -= its if fits else 0
    text = (
        f"Within the time limit of {limit.text}, with {duration(reserved / 3600)} kept for the later stages, "
        f"about {len(within)} of {len(within) + len(without)} members would be trained."
    )
    return (f"{text} Not: {', '.join(without)}." if without else text), without
