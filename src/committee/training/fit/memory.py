"""Handling of a lack of memory: work is repeated with half as many images at once."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from typing import TypeVar

import torch

from committee.errors import TrainingError

Result = TypeVar("Result")
log = logging.getLogger(__name__)


def ran_out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the device or the machine has run out of memory."""
    # On a CPU, torch raises a plain RuntimeError: "DefaultCPUAllocator: can't allocate memory".
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "allocate memory" in str(error)
    )


def halving(work: Callable[[int], Result], size: int, who: str) -> tuple[Result, int]:
    """Call `work(size)`, with half the size as long as memory runs out; return its result and the size.

    Parameters
    ----------
    work : callable
        Takes the number of images that it may process at once. It may be called again after an error.
    size : int
        First size to try.
    who : str
        Member or fit, for messages.

    Raises
    ------
    TrainingError
        There is no memory for a single image.

    Examples
    --------
    >>> def work(size):
    ...     if size > 4:
    ...         raise MemoryError
    ...     return "done"
    >>> halving(work, 16, "member/fold_0")
    ('done', 4)
    """
    while True:
        try:
            return work(size), size
        except (RuntimeError, MemoryError) as error:
            if not ran_out_of_memory(error):
                raise
            if size == 1:
                raise no_memory(who, "one image at a time", error) from error
        # Not inside `except`: the error holds the frames, and they hold the tensors.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        size = (size + 1) // 2
        log.warning("%s: out of memory; continuing with %d images at a time", who, size)


def no_memory(who: str, purpose: str, error: BaseException) -> TrainingError:
    """Return the error that memory does not suffice for `purpose`."""
    return TrainingError(
        who,
        expected=f"enough memory for {purpose}",
        got=str(error).strip().partition("\n")[0] or type(error).__name__,
        todo="Lower its img_size, use a smaller backbone, or free memory of the device.",
    )
