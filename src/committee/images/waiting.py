"""The lock of a store, for several processes that open the same data set at the same time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from committee.store.layout import Store
from committee.store.lock import HeldError

POLL, PATIENCE = 0.05, 1.0
"""Seconds between two attempts, and after which a lock is not held for a moment only."""


@contextlib.contextmanager
def held(
    store: Store, is_needed: Callable[[], bool], is_making: Callable[[], bool] = lambda: False
) -> Iterator[None]:
    """Hold the lock of the store for writing; wait for another process that writes the same.

    Parameters
    ----------
    store : Store
    is_needed : callable
        Whether there still is something to write; if the other process has written it, no lock is needed.
    is_making : callable
        Whether what is to be written is being written now.

    Raises
    ------
    HeldError
        Another process holds the lock for something else, longer than a second.
    """
    with contextlib.ExitStack() as stack:
        deadline = time.monotonic() + PATIENCE
        while is_needed():
            try:
                stack.enter_context(store.hold())
                break
            except HeldError:
                if is_making():
                    deadline = time.monotonic() + PATIENCE
                elif time.monotonic() > deadline:
                    raise
            time.sleep(POLL)
        yield
