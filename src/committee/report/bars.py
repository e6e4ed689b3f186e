"""Bars in the cells of tables: values and intervals on the scale of their column."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MARGIN = 5.0
"""Percent of the width of a cell at both ends."""


@dataclass(frozen=True)
class Scale:
    """The values at the ends of the cells of a column, `low < high`.

    See Also
    --------
    Bar : Is drawn on a scale.

    Examples
    --------
    >>> from committee.report.bars import Scale
    >>> Scale.of([1.0, 3.0]).percent(2.0)
    50.0
    """

    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Scale:
        """Return the scale that contains the finite ones of these values."""
        found = [value for value in values if math.isfinite(value)]
        low, high = (min(found), max(found)) if found else (0.0, 1.0)
        return cls(low, high if high > low else low + (abs(low) or 1.0))

    def percent(self, value: float) -> float:
        """Return the place of a value in percent of the width; values beyond the ends are at the ends."""
        share = (value - self.low) / (self.high - self.low)
        return MARGIN + min(max(share, 0.0), 1.0) * (100 - 2 * MARGIN)


@dataclass(frozen=True)
class Bar:
    """What is drawn in a cell: a line, and a point on it for the value of an interval.

    Attributes
    ----------
    label : str
        The same in words.
    start, end : float
        The ends of the line in percent of the width.
    point, zero : float or None
        The places of the value and of 0, where they are marked.
    series : int or None
        Number of its color.

    See Also
    --------
    committee.report.blocks.Cell : Has a bar.
    """

    label: str
    start: float
    end: float
    point: float | None = None
    zero: float | None = None
    series: int | None = 0


def interval_bar(found: Mapping[str, float], scale: Scale, series: int | None = 0, zero: bool = False) -> Bar:
    """Return a value as a point on the line of its interval.

    Parameters
    ----------
    found : mapping
        `value`, `low` and `high`.
    scale : Scale
        The scale of all cells of the column.
    series : int or None
        Number of its color.
    zero : bool
        Whether to mark the place of 0.
    """
    label = f"{found['value']:.4g}, from {found['low']:.4g} to {found['high']:.4g}"
    low, value, high = (scale.percent(found[key]) for key in ("low", "value", "high"))
    return Bar(label, low, high, value, scale.percent(0.0) if zero else None, series)


def value_bar(value: float, scale: Scale, series: int | None = 0) -> Bar:
    """Return a value as a bar from 0, to the left if it is negative."""
    start, end = sorted((scale.percent(0.0), scale.percent(value)))
    return Bar(f"{value:.4g}", start, end, series=series)
