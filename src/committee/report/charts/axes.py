"""The axes of charts of numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PADDING = 14
"""Pixels between the outermost values and the ends of an axis without a domain."""


@dataclass(frozen=True)
class Axis:
    """An axis of numbers.

    Attributes
    ----------
    title : str
    domain : (float, float), optional
        Its ends; by default, it contains all values.
    log : bool
        Whether it is logarithmic, for values above 0.
    whole : bool
        Whether only whole numbers have ticks.

    See Also
    --------
    committee.report.charts.lines.lines : A chart with two axes.

    Examples
    --------
    >>> from committee.report.charts.axes import Axis
    >>> Axis("coverage", (0, 1))
    Axis(title='coverage', domain=(0, 1), log=False, whole=False)
    """

    title: str
    domain: tuple[float, float] | None = None
    log: bool = False
    whole: bool = False

    def x(self, field: str = "x") -> Any:
        """Return the horizontal place of marks by a field."""
        import altair as alt

        return alt.X(f"{field}:Q", title=self.title, scale=self._scale(), axis=self._axis())

    def y(self, field: str = "y") -> Any:
        """Return the vertical place of marks by a field."""
        import altair as alt

        return alt.Y(f"{field}:Q", title=self.title, scale=self._scale(), axis=self._axis())

    def _axis(self) -> Any:
        import altair as alt

        return alt.Axis(tickMinStep=1) if self.whole else alt.Undefined

    def _scale(self) -> Any:
        import altair as alt

        kind = {"type": "log"} if self.log else {"zero": False}
        if self.domain is not None:
            return alt.Scale(domain=list(self.domain), clamp=True, nice=False, **kind)
        return alt.Scale(nice=False, padding=PADDING, **kind)
