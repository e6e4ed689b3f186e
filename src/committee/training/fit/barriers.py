"""Loss barriers between networks, before and after the alignment of their channels."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from committee.errors import TrainingError
from committee.training.fit.weight_averager import WeightAverager

log = logging.getLogger(__name__)


class Barriers:
    """Loss barriers between networks, each measured at most once.

    Parameters
    ----------
    averager : WeightAverager
    most : float
        Largest barrier between networks that are averaged.

    Attributes
    ----------
    before : dict of str to float
        Barriers of networks before they were aligned.
    """

    def __init__(self, averager: WeightAverager, most: float) -> None:
        self.averager, self.most = averager, most
        self.before: dict[str, float] = {}
        self._measured = dict[frozenset[str], float]()
        self._refused: dict[str, str] = {}

    def between(self, one: str, other: str) -> float:
        """Return the barrier between two networks."""
        pair = frozenset((one, other))
        if pair not in self._measured:
            self._measured[pair] = self.averager.barrier(one, other)
        return self._measured[pair]

    def to_others(self, anchor: str, names: Sequence[str]) -> dict[str, float]:
        """Return the barriers between the anchor and each other network."""
        return {name: self.between(anchor, name) for name in names if name != anchor}

    def connected(self, anchor: str, names: Sequence[str]) -> list[str]:
        """Return the other networks without a barrier to the anchor."""
        return [name for name, barrier in self.to_others(anchor, names).items() if barrier <= self.most]

    def align(self, name: str, anchor: str) -> None:
        """Align a network with the anchor if its architecture allows it, and measure the barrier again."""
        try:
            if not self.averager.align(name, anchor):
                return
        except TrainingError as error:
            self._refused[name] = str(error)
            return
        self.before[name] = self._measured.pop(frozenset((anchor, name)))
        log.info(
            "%s: the channels of %s are permuted to match %s: the loss barrier is %.3f instead of %.3f",
            *(self.averager.who, name, anchor, self.between(anchor, name), self.before[name]),
        )

    def describe(self, name: str, anchor: str) -> str:
        """Return why a network is not averaged with the anchor."""
        starts = [self.averager.members[each].provenance.get("start") for each in (name, anchor)]
        other = "" if starts[0] == starts[1] else "; their initial weights differ"
        before = f", {self.before[name]:.3f} before its channels were permuted" if name in self.before else ""
        refused = f"; its channels cannot be permuted: {self._refused[name]}" if name in self._refused else ""
        barrier = f"the loss barrier to {anchor} is {self.between(anchor, name):.3f}"
        return f"{barrier}{before}{other}{refused}".rstrip(".")
