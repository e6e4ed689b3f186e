"""An error as a value, which keeps nothing else alive and may go to another process."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable

from committee.base import interrupt


def attempt(work: Callable[[], object]) -> Exception | None:
    """Do `work`; return None, or the error with its traceback as a note.

    The error itself would hold its frames, and they the tensors in them.

    Raises
    ------
    KeyboardInterrupt
        It was asked to end: native code may have made an error of its own out of that.
    """
    try:
        work()
    except Exception as error:
        interrupt.raise_if_requested()
        error.add_note("".join(traceback.format_exception(error)).rstrip())
        return _copied(error)
    return None


def _copied(error: Exception) -> Exception:
    try:
        copy = pickle.loads(pickle.dumps(error))
    except Exception:
        copy = None
    return copy if isinstance(copy, Exception) else RuntimeError(f"{type(error).__name__}: {error}")
