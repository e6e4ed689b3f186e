"""The log of failures of a server, whose lines are few, however many requests fail."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds in which one failure is logged."""


class FailureLog:
    """Logs the failure of a request with its traceback, at most one a second, and counts those in between.

    Parameters
    ----------
    clock : callable, optional
        Returns the time in seconds.

    See Also
    --------
    committee.serving.guard.FAILURE : What the client reads.

    Examples
    --------
    >>> from committee.serving.failures import FailureLog
    >>> failures = FailureLog(clock=lambda: 0.0)
    >>> for _ in range(3):
    ...     try:
    ...         raise RuntimeError("no memory")
    ...     except RuntimeError:
    ...         failures.add("POST /predict")
    >>> failures.left_out
    2
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._next = clock, float("-inf")
        self.left_out = 0

    def add(self, what: str) -> None:
        """Log the exception that is being handled, or count it."""
        now = self._clock()
        if now < self._next:
            self.left_out += 1
            return
        more = f" ({self.left_out} more failures since the last line)" if self.left_out else ""
        log.exception("%s%s", what, more)
        self._next, self.left_out = now + EVERY, 0
