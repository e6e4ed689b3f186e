"""Checks of numeric options."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, TypeVar

import numpy as np

from committee.errors import UsageError

Number = TypeVar("Number", int, float)


def at_least(who: str, value: Number, least: Number) -> Number:
    """Return `value`; raise UsageError unless it is a number that is at least `least`."""
    if not (_is_number(value) and value >= least):
        raise UsageError(who, expected=f"at least {least}", got=repr(value))
    return value


def count(who: str, value: Any, least: int = 1) -> int:
    """Return `value`; raise UsageError unless it is a whole number that is at least `least`."""
    if not isinstance(value, int | np.integer):
        raise UsageError(who, expected="a whole number", got=repr(value))
    return at_least(who, int(value), least)


def above_zero(who: str, value: Number) -> Number:
    """Return `value`; raise UsageError unless it is a number that is finite and greater than 0."""
    if not (_is_number(value) and 0 < value < math.inf):
        raise UsageError(who, expected="a number above 0", got=repr(value))
    return value


def a_share(who: str, value: float) -> float:
    """Return `value`; raise UsageError unless it is a number that is at least 0 and less than 1."""
    if not (_is_number(value) and 0 <= value < 1):
        raise UsageError(who, expected="at least 0 and below 1", got=repr(value))
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, Real)
