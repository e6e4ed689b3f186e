"""All subsets: the best subset of each size, among all that are within the budgets."""

from __future__ import annotations

from collections.abc import Iterator

from committee.errors import UsageError
from committee.pruning.base import Pruner, Subset
from committee.pruning.shared.subsets import Subsets

MOST = 12
"""Largest number of members; M members have 2 ** M - 1 subsets."""


class AllSubsets(Pruner):
    """The best subset of each size, among all subsets within the budgets.

    The more subsets are compared, the more does the best of them owe to chance. `Pruned` compares sizes by
    cross-validation, so that its metric of each size is that of a subset that was chosen on other rows.

    Raises
    ------
    UsageError
        There are more than 12 members.

    See Also
    --------
    GreedyForward : A path of nested subsets, for any number of members.

    Examples
    --------
    >>> from committee.combiners import Pruned
    >>> from committee.predictions import simulate
    >>> rows = simulate({"good": 2.0, "fair": 1.8, "weak": 0.0})
    >>> fitted = Pruned("all_subsets").fit(rows)
    >>> sorted(fitted.notes()["chosen"]["members"])
    ['fair', 'good']
    """

    needs_logits = False

    def path(self, subsets: Subsets) -> list[Subset]:
        """Return the best subset of each size."""
        if len(subsets.members) > MOST:
            raise UsageError(
                "all_subsets",
                expected=f"at most {MOST} members",
                got=str(len(subsets.members)),
                todo="Use greedy_forward, or fewer members.",
            )
        best: dict[int, tuple[float, Subset]] = {}
        for subset, score in _scored(subsets, ()):
            if len(subset) not in best or score > best[len(subset)][0]:
                best[len(subset)] = score, subset
        return [best[size][1] for size in sorted(best)]

    @classmethod
    def evaluations(cls, members: int) -> int:
        """Return the number of subsets."""
        return int(2 ** min(members, MOST))


def _scored(subsets: Subsets, chosen: Subset) -> Iterator[tuple[Subset, float]]:
    """Yield the subsets within the budgets that begin with some members, with their scores."""
    later = range(chosen[-1] + 1 if chosen else 0, len(subsets.members))
    candidates = [place for place in later if subsets.meets((*chosen, place))]
    if candidates:
        found = [(*chosen, place) for place in candidates]
        yield from zip(found, subsets.adding(chosen, candidates).tolist(), strict=True)
        for subset in found:
            yield from _scored(subsets, subset)
