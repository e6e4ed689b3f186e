"""Checks of numeric options."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any, TypeVar

import numpy as np

from committee.errors import DataError, UsageError

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


def require_some(who: str, number: int, what: str) -> None:
    """Raise DataError unless there is at least one of what a function works on.

    Examples
    --------
    >>> from committee.base.limits import require_some
    >>> require_some("stack", 0, "network")
    Traceback (most recent call last):
    committee.errors.DataError: stack: expected at least one network, got none.
    """
    if not number:
        raise DataError(who, expected=f"at least one {what}", got="none")


def _is_number(value: object) -> bool:
    return isinstance(value, Real)
