"""Conversion of a network's error on unsupported image sizes into a TrainingError."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from committee.errors import CommitteeError, TrainingError
from committee.training.fit.memory import ran_out_of_memory


@contextlib.contextmanager
def as_training_error(who: str, given: int | Sequence[int]) -> Iterator[None]:
    """Turn any error of a network in the block into a TrainingError about the size of its inputs.

    A network that fails on its input nearly always does so because its feature maps shrink to nothing or its
    patches do not divide the image. The message of the network is quoted.

    Parameters
    ----------
    who : str
        Backbone or fit, for the message.
    given : int or sequence of int
        Side of the images in pixels, or the shape of a batch of images or of other inputs.

    Raises
    ------
    TrainingError
        The network raised an error. A lack of memory, and any CommitteeError, is passed on unchanged.
    """
    try:
        yield
    except CommitteeError:
        raise
    except Exception as error:
        if ran_out_of_memory(error):
            raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip("!.")
        raise TrainingError(
            who,
            expected=f"a network that accepts {_in_words(given)}",
            got=reason,
            todo="Use another dataset.img_size." if _are_images(given) else "",
        ) from error


def _are_images(given: int | Sequence[int]) -> bool:
    return isinstance(given, int) or len(given) == 4


def _in_words(given: int | Sequence[int]) -> str:
    if isinstance(given, int):
        return f"images of {given} pixels"
    return f"images of {given[-1]} pixels" if len(given) == 4 else f"inputs {list(given)}"
