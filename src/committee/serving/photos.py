"""Decoding of photos in worker processes: one that crashes its decoder does not end the server."""

from __future__ import annotations

import asyncio
import io
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

from PIL import Image

from committee.images.decode import ImageError, image_error, kind_of_other
from committee.images.workers import Workers, WorkersFailed
from committee.models.predictor import Images
from committee.serving.limits import Limits
from committee.serving.refusal import BAD, Refusal, busy
from committee.serving.served import Served

PHOTO = "the photo"
TRIES = 4
"""Number of times that a photo is tried: a process may also be killed, or not start, for lack of memory."""


def _smallest() -> bytes:
    file = io.BytesIO()
    Image.new("L", (1, 1)).save(file, "PNG")
    return file.getvalue()


class Photos:
    """Decodes photos in at most `decoders` processes, and makes what a model reads of them.

    Parameters
    ----------
    limits : Limits

    See Also
    --------
    committee.images.workers.Workers : The processes.
    """

    def __init__(self, limits: Limits) -> None:
        self._count = limits.decoders
        self._workers = Workers(limits.decoders, most_crashes=math.inf, patience=limits.seconds, tries=TRIES)
        self._threads = ThreadPoolExecutor(limits.decoders, thread_name_prefix="decode")

    def __enter__(self) -> Self:
        """Start the processes, which takes some tenths of a second, beside what follows."""
        self._workers.__enter__()
        for _ in range(self._count):
            self._threads.submit(self._workers.decode, _smallest(), 1, PHOTO)
        return self

    def __exit__(self, *error: Any) -> None:
        self._workers.__exit__(*error)
        self._threads.shutdown(cancel_futures=True)

    async def parts(self, content: bytes, served: Served) -> list[Images]:
        """Return the canvases `[c, size, size]` of a photo, or its pixels `[c, H, W]`.

        Raises
        ------
        Refusal
            It cannot be decoded.
        """
        if served.input_shape:
            raise Refusal(
                BAD,
                served.name,
                expected=f"inputs {list(served.input_shape)}",
                got="a photo",
                todo=f"Send them to /v2/models/{served.name}/infer.",
            )
        if other := kind_of_other(content):
            raise Refusal(BAD, str(image_error(PHOTO, other)))
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, self._decode, content, served)
        except ImageError as error:
            raise Refusal(BAD, str(error)) from None
        except WorkersFailed:
            raise busy("no process that decodes photos starts") from None

    def _decode(self, content: bytes, served: Served) -> list[Images]:
        channels, kinds = served.model.channels, [(size, fit) for size, fit, _ in served.canvases]
        if not kinds:
            return [self._workers.decode(content, channels, PHOTO)]
        _, squares = self._workers.squares(content, channels, PHOTO, kinds)
        return [square.transpose(2, 0, 1) for square in squares]
