"""Calls of a model with a time limit, since the graph of an exported file may never end."""

from __future__ import annotations

import atexit
import math
import os
import queue
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np

from committee.errors import TimeLimitError, UsageError
from committee.models.predictor import Images, Predictor, Probabilities

GRACE = 5.0
"""Seconds in which a model has to end after its `stop` was called."""

SECONDS = 60.0
"""Default time limit for one image."""


class TimeLimit:
    """Calls a model in a thread of its own, and stops it after a time.

    A model with a method `stop` is stopped with it. One that does not end then either, such as a single
    operation of a hostile file, ends with the process.

    Parameters
    ----------
    model : Predictor
    seconds : float
        Time limit for one image; infinity for none.

    Raises
    ------
    UsageError
        The limit is not above zero.

    See Also
    --------
    committee.inference.predict.predict : Calls a model with a time limit.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.inference.time_limit import TimeLimit
    >>> class Half:
    ...     name, class_names, channels, provenance = "half", ("a", "b"), 1, {}
    ...
    ...     def __call__(self, images):
    ...         return np.full((len(images), 2), 0.5, np.float32)
    >>> TimeLimit(Half(), seconds=10)(np.zeros((1, 1, 8, 8), np.uint8))
    array([[0.5, 0.5]], dtype=float32)
    """

    def __init__(self, model: Predictor, seconds: float = SECONDS) -> None:
        if not seconds > 0:
            raise UsageError("--time-limit", expected="a number of seconds above 0", got=f"{seconds:g}")
        self.model, self.seconds = model, seconds
        self._calls: queue.Queue[Callable[[], None]] = queue.Queue()
        self._thread: threading.Thread | None = None

    def __call__(self, images: Images | Sequence[Images]) -> Probabilities:
        """Return what the model returns for images, uint8 `[B, c, H, W]`, or for a list of their canvases.

        Raises
        ------
        TimeLimitError
            The model did not answer within the limit for this number of images.
        """
        if self._thread is None:  # One thread for all calls: libraries keep a pool for each.
            self._thread = threading.Thread(target=self._serve, daemon=True)
            self._thread.start()
        done, found = threading.Event(), list[Any]()

        def call() -> None:
            try:
                found.append(self.model(cast("Images", images)))
            except BaseException as error:  # raised again in the thread that waits
                found.append(error)
            done.set()

        self._calls.put(call)
        first = images if isinstance(images, np.ndarray) else images[0]
        limit = self.seconds * len(first)
        if not done.wait(None if math.isinf(limit) else limit):
            self._stop(done)
            raise TimeLimitError(
                self.model.name,
                expected=f"an answer within {self.seconds:g} s for an image",
                got=f"none for {len(first)} of {first.shape[3]} x {first.shape[2]} pixels",
                todo="Raise the limit with --time-limit SECONDS, or do not use this model.",
            )
        if isinstance(found[0], BaseException):
            raise found[0]
        answer: Probabilities = found[0]
        return answer

    def _serve(self) -> None:
        while True:
            self._calls.get()()

    def _stop(self, done: threading.Event) -> None:
        stop = getattr(self.model, "stop", None)
        if stop is not None:
            stop()
        if stop is None or not done.wait(GRACE):
            # A library that still runs while its memory is released at the end of the process would crash it.
            atexit.register(_leave)


def _leave() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
