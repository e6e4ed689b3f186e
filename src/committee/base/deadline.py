"""The deadline of a command: the time at which its fits store their state and stop."""

from __future__ import annotations

import contextlib
import math
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

EXAMPLES = "such as 90s, 30m, 8h or 1h30m"
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_NUMBER = r"(\d+(?:\.\d+)?)"
_DURATION = re.compile(
    rf"(?:{_NUMBER}d)? ?(?:{_NUMBER}h)? ?(?:{_NUMBER}m)? ?(?:{_NUMBER}s?)?", re.ASCII | re.IGNORECASE
)


def seconds_of(text: str) -> float:
    """Return the seconds of a duration: `90s`, `30m`, `8h`, `1h30m`, `2d`; a number alone is in seconds.

    Raises
    ------
    ValueError
        The text is no duration, or the duration is not above zero.

    Examples
    --------
    >>> from committee.base.deadline import seconds_of
    >>> seconds_of("1h30m"), seconds_of("90s"), seconds_of("0.5"), seconds_of("inf")
    (5400.0, 90.0, 0.5, inf)
    """
    text = text.strip()
    if text.lower() == "inf":
        return math.inf
    found = _DURATION.fullmatch(text)
    parts = () if found is None else found.groups()
    seconds = sum(float(part) * unit for part, unit in zip(parts, _UNITS.values(), strict=False) if part)
    if not 0 < seconds < math.inf:
        raise ValueError(f"expected a duration above zero, {EXAMPLES}, got '{text}'")
    return seconds


@dataclass(frozen=True)
class Deadline:
    """A time by which fits have to end. It can be pickled, and holds for processes on any machine.

    Attributes
    ----------
    end : float
        Value of the clock at the deadline; infinity for none.
    clock : callable
        Returns the present time in seconds; by default that of the system, which all processes share.

    See Also
    --------
    in_effect : Sets the deadline of this process.

    Examples
    --------
    >>> from committee.base.deadline import Deadline
    >>> Deadline(end=60, clock=lambda: 45).left()
    15
    >>> Deadline().is_set, Deadline().is_over()
    (False, False)
    """

    end: float = math.inf
    clock: Callable[[], float] = time.time

    @property
    def is_set(self) -> bool:
        """Whether there is a deadline."""
        return self.end < math.inf

    def left(self) -> float:
        """Return the seconds until the deadline; below zero after it."""
        return self.end - self.clock()

    def is_over(self) -> bool:
        """Return whether the deadline has passed."""
        return self.is_set and self.left() <= 0


class _State:
    """The deadline of this process."""

    def __init__(self) -> None:
        self.deadline = Deadline()


_state = _State()


def current() -> Deadline:
    """Return the deadline that is in effect in this process."""
    return _state.deadline


@contextlib.contextmanager
def in_effect(deadline: Deadline) -> Iterator[None]:
    """Set the deadline of this process, of all of its threads, while the block runs.

    A fit checks it between batches, and stores its state before it stops.
    """
    before, _state.deadline = _state.deadline, deadline
    try:
        yield
    finally:
        _state.deadline = before
