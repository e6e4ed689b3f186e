"""From values to places on an axis, and its ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

STEPS = (1, 2, 5, 10)
FEW_DECADES = 3


@dataclass(frozen=True)
class Scale:
    """A linear or logarithmic axis from `low` to `high`.

    Attributes
    ----------
    low, high : float
        The ends, `low < high`; above 0 if the axis is logarithmic.
    log : bool

    See Also
    --------
    committee.report.charts.frame.Frame : A chart with two scales.

    Examples
    --------
    >>> from committee.report.charts.scale import Scale
    >>> scale = Scale.of([0.25, 0.75], margin=0)
    >>> scale.place(0.5), [text for _, text in scale.ticks(4)]
    (0.5, ['0.4', '0.6'])
    """

    low: float
    high: float
    log: bool = False

    @classmethod
    def of(cls, values: Iterable[float], *, log: bool = False, margin: float = 0.06) -> Scale:
        """Return the axis that contains finite values, with a margin as a share of its length."""
        found = [value for value in values if math.isfinite(value) and (value > 0 or not log)]
        low, high = (min(found), max(found)) if found else (0.1, 1.0)
        if log:
            part = max((high / low) ** margin, 1.2)
            return cls(low / part, high * part, True)
        part = margin * (high - low) or abs(high) * margin or margin or 0.1
        return cls(low - part * (margin > 0 or high == low), high + part * (margin > 0 or high == low))

    def place(self, value: float) -> float:
        """Return the place of a value, from 0 to 1; values beyond the ends are at the ends."""
        low, high = self.low, self.high
        if self.log:
            value, low, high = math.log(max(value, low)), math.log(low), math.log(high)
        return min(max((value - low) / (high - low), 0.0), 1.0)

    def ticks(self, count: int = 5) -> list[tuple[float, str]]:
        """Return about this many round values with their texts."""
        values = self._decades(count) if self.log else self._steps(count)
        step = min((abs(b - a) for a, b in pairwise(values)), default=abs(self.high))
        return [(value, f"{value:g}" if self.log else _written(value, step)) for value in values]

    def _steps(self, count: int) -> list[float]:
        rough = (self.high - self.low) / count
        power = 10.0 ** math.floor(math.log10(rough))
        step = power * next(each for each in STEPS if each * power >= rough * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [float(f"{number * step:.12g}") for number in range(first, last + 1)]

    def _decades(self, count: int) -> list[float]:
        first, last = math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))
        parts = STEPS[:3] if last - first <= FEW_DECADES else STEPS[:1]
        values = [part * 10.0**power for power in range(first, last + 1) for part in parts]
        values = [value for value in values if self.low <= value <= self.high]
        return values[:: max(1, round(len(values) / (2 * count)))] or [math.sqrt(self.low * self.high)]


def _written(value: float, step: float) -> str:
    if max(abs(value), step) >= 1e6 or step < 1e-6:
        return f"{value:.3g}"
    places = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:z.{places}f}"
