"""Errors as values, which hold no other objects alive and can be sent to another process."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from typing import TypeVar

from committee.base import interrupt

Result = TypeVar("Result")


def attempt(work: Callable[[], Result]) -> Result | Exception:
    """Call `work`; return its result, or the error with its traceback as a note.

    The error is copied, since the original holds the frames of `work`, and they hold its tensors.

    Raises
    ------
    KeyboardInterrupt
        A signal asked the process to end. Native code may have turned that into an error of its own.

    Examples
    --------
    >>> attempt(lambda: 1 + 1)
    2
    >>> attempt(lambda: 1 / 0)
    ZeroDivisionError('division by zero')
    """
    try:
        return work()
    except Exception as error:
        interrupt.raise_if_requested()
        error.add_note("".join(traceback.format_exception(error)).rstrip())
        return _copied(error)


def _copied(error: Exception) -> Exception:
    try:
        copy = pickle.loads(pickle.dumps(error))
    except Exception:
        copy = None
    return copy if isinstance(copy, Exception) else RuntimeError(f"{type(error).__name__}: {error}")
