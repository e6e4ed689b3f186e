"""The choice of a winner among scored methods: ties go to the cheaper one.

Importing this does not import torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from committee.metrics.named import get_metric

if TYPE_CHECKING:
    from committee.combiners.base import Combiner
    from committee.scoring.scores import Scores

TIE = 0.5
"""Paired standard errors by which a score may be worse than the best one to count as equal to it.

On the problems of `benchmarks/statistics_choice.py`, the regret is then at most 0.001 nats above that of the
best score alone; it is 0.002 above with one standard error, and 0.01 with the limits of gains."""
PROVEN = 1.96


@dataclass(frozen=True, eq=False)
class Contender:
    """A scored method, as far as a choice depends on it.

    Attributes
    ----------
    name : str
    score : float
        Cross-fitted metric, such that larger is better.
    draws : float array [R] or None
        Bootstrap draws of the score, with a mean of zero, which are paired with those of other methods.
    cost : tuple of float
        The first difference decides which of two methods is cheaper.
    vote : str, optional
        Name of the method that takes the mean of all members, if this one runs some of them for each row.

    See Also
    --------
    choose : Choose among contenders.
    """

    name: str
    score: float
    draws: NDArray[np.float32] | None
    cost: tuple[float, ...]
    vote: str = ""

    def is_ahead(self, other: Contender, errors: float) -> bool:
        """Return whether the score is better than another by more than some paired standard errors."""
        if self.draws is None or other.draws is None:
            return False
        return self.score - other.score > errors * float((self.draws - other.draws).std())


def ranked(contenders: Sequence[Contender]) -> list[Contender]:
    """Return contenders, best score first; those that are not defined come last.

    A method that runs only some of its members for each row approximates the mean of all of them. So it comes
    after that vote, unless it is better by more than chance.
    """
    result = sorted(contenders, key=lambda each: (not math.isfinite(each.score), -each.score, each.name))
    votes = {each.name: each for each in result}
    for each in [each for each in result if each.vote in votes]:
        place = result.index(votes[each.vote])
        if result.index(each) < place and not each.is_ahead(votes[each.vote], PROVEN):
            result.remove(each)
            result.insert(place, each)
    return result


def choose(contenders: Sequence[Contender]) -> tuple[Contender, Contender]:
    """Return the winner, and the contender with the best score (often the same).

    The winner is the cheapest of those whose score is worse than the best one by at most half a paired
    standard error. Of equal costs, the better score decides.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.scoring.choice import Contender, choose
    >>> draws = np.random.default_rng(0).normal(size=(2, 1000))
    >>> large = Contender("seven networks", -0.50, 0.02 * draws[0], cost=(7,))
    >>> small = Contender("two networks", -0.51, 0.02 * draws[1], cost=(2,))
    >>> winner, best = choose([large, small])
    >>> winner.name, best.name
    ('two networks', 'seven networks')
    """
    order = ranked(contenders)
    best = order[0]
    if best.draws is None or not math.isfinite(best.score):
        return best, best
    tied = [each for each in order if each is best or _ties(best, each)]
    return min(tied, key=lambda each: (each.cost, order.index(each))), best


def _ties(best: Contender, other: Contender) -> bool:
    comparable = other.draws is not None and math.isfinite(other.score)
    return comparable and not best.is_ahead(other, TIE)


class Method(Protocol):
    """A fitted and scored combiner."""

    @property
    def method(self) -> str:
        """Its name."""

    @property
    def combiner(self) -> Combiner:
        """The fitted combiner."""

    @property
    def scores(self) -> Scores:
        """Its scores."""


def contenders(methods: Sequence[Method], metric: str) -> list[Contender]:
    """Return scored combiners of the same members; the cost is the number of networks that run."""
    from committee.combiners.base import is_conditional

    sign = get_metric(metric).sign
    vote = next((each.method for each in methods if _inside(each.combiner).key == "soft_voting"), "")
    return [
        Contender(
            each.method,
            sign * each.scores.cross_fitted[metric].value,
            each.scores.draws.scores_of(metric),
            (len(each.combiner.restrict_to_used().member_names),),
            vote if is_conditional(each.combiner) else "",
        )
        for each in methods
    ]


def _inside(combiner: Combiner) -> Combiner:
    from committee.combiners.shared.calibrator import Calibrator

    return _inside(combiner.inner) if isinstance(combiner, Calibrator) else combiner
