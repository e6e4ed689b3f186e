"""When memory runs out: the same work again, on half as many images at once."""

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
    """Tell whether an error says that the device, or the machine, has no more memory."""
    # On a CPU, torch raises a plain RuntimeError: "DefaultCPUAllocator: can't allocate memory".
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "allocate memory" in str(error)
    )


def halving(work: Callable[[int], Result], size: int, who: str) -> tuple[Result, int]:
    """Return what `work(size)` returns, and the size; with half of it as long as memory runs out.

    Parameters
    ----------
    work : callable
        Takes how many images it may hold at once. It may be called again after an error.
    size : int
        How many to try first.
    who : str
        Whose work it is, for people.

    Raises
    ------
    TrainingError
        There is no memory for a single image.
    """
    while True:
        try:
            return work(size), size
        except (RuntimeError, MemoryError) as error:
            if not ran_out_of_memory(error):
                raise
            if size == 1:
                raise no_memory(who, "one image at a time", error) from error
        # Only now: the error held the frames, and they held the tensors.
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        size = (size + 1) // 2
        log.warning("%s: out of memory; on with %d images at a time", who, size)


def no_memory(who: str, purpose: str, error: BaseException) -> TrainingError:
    """Return the error for memory that does not suffice for `purpose`, whatever is tried."""
    return TrainingError(
        who,
        expected=f"memory for {purpose}",
        got=str(error).strip().partition("\n")[0] or type(error).__name__,
        todo="Lower its img_size, take a smaller backbone, or free the device.",
    )
