"""The trimmed mean of the members' numbers."""

from __future__ import annotations

from typing import Any

from committee.combiners._middle import MiddleMean
from committee.errors import UsageError


class TrimmedMean(MiddleMean):
    """The mean of the members' numbers without a share of the smallest and of the largest (Tukey 1962).

    In each row, the `int(trim * M)` smallest and as many of the largest values of the M members are left out,
    as by `scipy.stats.trim_mean`. If that is none, it is the mean; with `trim` near 0.5 it is the median.
    Trimmed means of forecasts have small errors on average, and seldom large ones (Jose and Winkler 2008).

    Parameters
    ----------
    trim : float
        Share of the members that is left out at each end, at least 0 and below 0.5.

    Raises
    ------
    UsageError
        `trim` is out of range.

    See Also
    --------
    Median : Only the values in the middle.
    SoftVoting : The mean of all values.

    Examples
    --------
    >>> from committee.combiners import TrimmedMean
    >>> from committee.predictions import Predictions
    >>> values = [[10, 5], [11, 5], [12, 5], [13, 6], [90, -80]]
    >>> rows = Predictions.from_values(values, members=list("abcde"))
    >>> fitted = TrimmedMean(trim=0.2).fit(rows)
    >>> fitted.combine(rows.logits).tolist(), fitted.notes()
    ([[12.0], [5.0]], {'left_out_at_each_end': 1})
    """

    def __init__(self, trim: float = 0.2) -> None:
        super().__init__()
        if not 0 <= trim < 0.5:
            raise UsageError("trimmed_mean.trim", expected="at least 0 and below 0.5", got=str(trim))
        self.trim = trim

    def cut(self, members: int) -> int:
        """Return the share of the members, rounded down."""
        return int(self.trim * members)

    def notes(self) -> dict[str, Any]:
        """Return the number of members that are left out at each end."""
        return {"left_out_at_each_end": self.cut(len(self.member_names))}
