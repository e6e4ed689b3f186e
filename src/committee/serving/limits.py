"""What a server accepts at most."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from committee.base.limits import above_zero, at_least, count


@dataclass(frozen=True)
class Limits:
    """The limits of a server. A request beyond one of them is refused, and the server goes on.

    Parameters
    ----------
    batch : int
        Largest number of images in one call of a model.
    delay : float
        Longest time in seconds that an image waits for others, with which it would be one batch.
    queue : int
        Largest number of images of all requests that are accepted and not yet answered.
    body : int
        Largest number of bytes of a request.
    seconds : float
        Time in which a request has to be received, and time in which it is answered.
    decoders : int
        Number of processes that decode photos.
    connections : int
        Largest number of open connections.

    Raises
    ------
    UsageError
        A limit is not a number in its range.

    See Also
    --------
    committee.serving.batching.Batcher : Applies `batch` and `delay`.

    Examples
    --------
    >>> from committee.serving.limits import Limits
    >>> Limits(batch=8).body
    10000000
    """

    batch: int = 32
    delay: float = 0.002
    queue: int = 256
    body: int = 10_000_000
    seconds: float = 30.0
    decoders: int = field(default_factory=lambda: min(8, os.cpu_count() or 1))
    connections: int = 1000

    def __post_init__(self) -> None:
        for name in ("batch", "queue", "decoders", "connections"):
            count(f"--{name}", getattr(self, name))
        count("--body", self.body, 1000)
        at_least("--delay", self.delay, 0.0)
        above_zero("--time-limit", self.seconds)
