"""What a network says of images that it cannot take, as one sentence of ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from committee.errors import CommitteeError, TrainingError
from committee.training.fit.memory import ran_out_of_memory


@contextlib.contextmanager
def taking(who: str, size: int) -> Iterator[None]:
    """Run a network on images of `size` pixels for `who`, a backbone or a fit.

    Raises
    ------
    TrainingError
        It cannot take them: nearly always, since its maps shrink to nothing or its patches do not fit. Its
        own words are the reason. A lack of memory stays what it is.
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
            expected=f"a network that takes {size} pixels",
            got=reason,
            todo="Give another dataset.img_size.",
        ) from error
