"""Checks of numeric options."""

from __future__ import annotations

import math
from typing import TypeVar

from committee.errors import UsageError

Number = TypeVar("Number", int, float)


def at_least(who: str, value: Number, least: Number) -> Number:
    """Return `value`; raise UsageError unless it is at least `least`."""
    if not value >= least:
        raise UsageError(who, expected=f"at least {least}", got=str(value))
    return value


def above_zero(who: str, value: Number) -> Number:
    """Return `value`; raise UsageError unless it is finite and greater than 0."""
    if not 0 < value < math.inf:
        raise UsageError(who, expected="a number above 0", got=str(value))
    return value


def a_share(who: str, value: float) -> float:
    """Return `value`; raise UsageError unless it is at least 0 and less than 1."""
    if not 0 <= value < 1:
        raise UsageError(who, expected="at least 0 and below 1", got=str(value))
    return value
