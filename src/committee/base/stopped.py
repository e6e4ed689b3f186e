"""Work with a time limit, in a thread that is told to stop after it."""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


AGAIN = 10.0
"""Seconds after which a thread that has not ended is told to stop again."""


SOON = 0.02
"""Seconds after which a thread that imports a module is looked at again."""


class StoppedError(Exception):
    """The time of some work is over.

    Attributes
    ----------
    ended : bool
        Whether its thread has ended. One inside a long call of a library ends after it.
    """

    ended = True


class _Stop(BaseException):
    """Raised in the thread. Libraries that catch all exceptions, and try something else, do not catch it."""


def run_within(seconds: float, work: Callable[[], Result], patience: float = 60.0) -> Result:
    """Return what a function returns, which runs in a thread; stop it after a time.

    Parameters
    ----------
    seconds : float
    work : callable
    patience : float
        Seconds in which the thread has to end after it was told to stop, which it is between two Python
        statements.

    Raises
    ------
    StoppedError
        The time is over.
    Exception
        What the function raised.

    Examples
    --------
    >>> from committee.base.stopped import run_within
    >>> run_within(10, lambda: 1 + 1)
    2
    """
    found: list[Any] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except BaseException as error:  # raised again in the thread that waits
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(max(0.0, seconds))
    if thread.is_alive():
        stopped = StoppedError(f"stopped after {seconds:.3g} s")
        stopped.ended = _stop(thread, patience)
        raise stopped
    if failed:
        raise failed[0]
    result: Result = found[0]
    return result


def _stop(thread: threading.Thread, patience: float) -> bool:
    """Tell a thread to stop, and return whether it has.

    It may end what it imports first: a package of which a part is imported cannot be imported again.
    """
    end = time.perf_counter() + patience
    while thread.is_alive() and time.perf_counter() < end:
        if _is_importing(thread):
            thread.join(SOON)
            continue
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_Stop))
        thread.join(min(AGAIN, patience))
    return not thread.is_alive()


def _is_importing(thread: threading.Thread) -> bool:
    """Return whether a thread is inside an import."""
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
