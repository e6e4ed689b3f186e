"""Dynamic batching: images of several requests that wait at the same time are one call of the model."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import NamedTuple

from committee.inference.predict import PIXELS_AT_ONCE, Prediction
from committee.models.predictor import Images

Parts = tuple[str, list[Images]]
"""Name of an image, and the image or its canvases."""
Call = Callable[[Sequence[Parts]], Iterable[Prediction]]


class _Waiting(NamedTuple):
    """An image that waits, since when, and where its prediction goes."""

    entry: Parts
    since: float
    answer: Future[Prediction]


class Batcher:
    """Collects images into batches, and predicts them in a thread.

    While the model runs, images wait, and are the next batch. If the model is idle, a batch begins as soon as
    it is full, or no other image is on its way (`coming`), or its first image has waited for `delay`: a
    single client never waits.

    Parameters
    ----------
    call : callable
        From entries to their predictions, in order; it is called in one thread.
    batch : int
        Largest number of images in one call.
    delay : float
        Longest time in seconds that an image waits for others.
    on_batch : callable, optional
        Gets the number of images and the seconds of each call.

    See Also
    --------
    committee.serving.served.Served : The model whose images it collects.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.inference.predict import Prediction
    >>> from committee.serving.batching import Batcher
    >>> batcher = Batcher(lambda window: [Prediction(name, None, "no model") for name, _ in window], 8, 0.0)
    >>> batcher.submit(("a.jpg", [np.zeros((3, 8, 8), np.uint8)])).result().reason
    'no model'
    >>> batcher.close()
    """

    def __init__(
        self,
        call: Call,
        batch: int,
        delay: float,
        on_batch: Callable[[int, float], None] = lambda images, seconds: None,
    ) -> None:
        self._call, self._batch, self._delay, self._on_batch = call, batch, delay, on_batch
        self._waiting: deque[_Waiting] = deque()
        self._changed = threading.Condition()
        self._coming, self._is_closed = 0, False
        self._busy_since: float | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """Return the number of images that wait."""
        return len(self._waiting)

    @property
    def busy_for(self) -> float:
        """Seconds since the present call of the model began; 0 if it is idle."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    @contextlib.contextmanager
    def coming(self) -> Iterator[None]:
        """Announce images that are submitted before the block ends, or not at all."""
        self._announce(1)
        try:
            yield
        finally:
            self._announce(-1)

    def submit(self, entry: Parts) -> Future[Prediction]:
        """Add an image; a prediction whose future is canceled before its batch begins is not computed."""
        answer: Future[Prediction] = Future()
        with self._changed:
            self._waiting.append(_Waiting(entry, time.monotonic(), answer))
            self._changed.notify_all()
        return answer

    def close(self, seconds: float | None = None) -> None:
        """Predict what waits, and end the thread; wait for it so many seconds at most."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join(seconds)

    def _announce(self, change: int) -> None:
        with self._changed:
            self._coming += change
            if not self._coming:
                self._changed.notify_all()

    def _run(self) -> None:
        while batch := self._next():
            self._busy_since = start = time.monotonic()
            try:
                found = list(self._call([each.entry for each in batch]))
            except BaseException as error:  # raised again in the request
                for each in batch:
                    each.answer.set_exception(error)
            else:
                for each, prediction in zip(batch, found, strict=True):
                    each.answer.set_result(prediction)
            self._busy_since = None
            self._on_batch(len(batch), time.monotonic() - start)

    def _next(self) -> list[_Waiting]:
        """Return the next batch; an empty one after the end."""
        with self._changed:
            while not (taken := self._taken()):
                if self._is_closed and not self._waiting:
                    return []
                self._changed.wait(self._left())
            return taken

    def _left(self) -> float | None:
        """Return the seconds until the first image has waited long enough."""
        if not self._waiting:
            return None
        return max(0.0, self._waiting[0].since + self._delay - time.monotonic())

    def _taken(self) -> list[_Waiting]:
        """Remove and return a batch whose time has come."""
        full = len(self._waiting) >= self._batch
        if not (full or self._is_closed or not self._coming or self._left() == 0):
            return []
        taken, pixels = list[_Waiting](), 0
        while self._waiting and len(taken) < self._batch and pixels < PIXELS_AT_ONCE:
            each = self._waiting.popleft()
            if each.answer.set_running_or_notify_cancel():
                taken.append(each)
                pixels += each.entry[1][0][0].size
        return taken
