"""Work with a time limit, in a thread that is told to stop after it."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


class StoppedError(Exception):
    """Raised in a thread whose time is over, and in the one that waits for it.

    Attributes
    ----------
    ended : bool
        Whether the thread has ended. One inside a long call of a library ends after it.
    """

    ended = True


def run_within(seconds: float, work: Callable[[], Result], grace: float = 5.0) -> Result:
    """Return what a function returns, which runs in a thread; stop it after a time.

    Parameters
    ----------
    seconds : float
    work : callable
    grace : float
        Seconds in which the thread has to end after it was told to.

    Raises
    ------
    StoppedError
        The time is over, and the thread was told to stop.
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
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(StoppedError)
        )
        thread.join(grace)
        stopped.ended = not thread.is_alive()
        raise stopped
    if failed:
        raise failed[0]
    result: Result = found[0]
    return result
