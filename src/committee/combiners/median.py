"""The median of the members' numbers."""

from __future__ import annotations

from committee.combiners._middle import MiddleMean


class Median(MiddleMean):
    """The median of the members' numbers; of an even number of members, the mean of the two in the middle.

    As long as fewer than half of the members fail, the median is between numbers of members that do not, so
    that one member with huge errors does little harm. If errors are normal, its variance is up to `pi / 2`
    times that of the mean.

    See Also
    --------
    TrimmedMean : A compromise between the mean and the median.
    SoftVoting : The mean.
    HardVoting : The majority of predicted classes.

    Examples
    --------
    >>> from committee.combiners import Median
    >>> from committee.predictions import Predictions
    >>> rows = Predictions.from_values([[11, 7], [12, 8], [1e30, 9]], members=["a", "b", "broken"])
    >>> Median().fit(rows).combine(rows.logits).tolist()
    [[12.0], [8.0]]
    """

    def cut(self, members: int) -> int:
        """Leave out all but the one or two values in the middle."""
        return (members - 1) // 2
