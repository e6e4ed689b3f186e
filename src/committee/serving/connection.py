"""A connection of the HTTP server that ends if its client sends no complete header in time."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class Connection(H11Protocol):
    """A connection with a time limit for the header of each request, and a limit of their number.

    The base class limits the time between requests; the body has a limit in `read_body`.

    Parameters
    ----------
    *args, **options
        Those of the base class.
    seconds : float
        Time in which a header has to be complete.
    most : int
        Largest number of connections; a further one is closed.

    See Also
    --------
    committee.serving.body.read_body : Reads the body.
    """

    def __init__(self, *args: Any, seconds: float, most: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self._seconds, self._most = seconds, most
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin the time of the first header."""
        super().connection_made(transport)
        if len(self.connections) > self._most:
            transport.abort()
            return
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Read what arrived; a header that has begun has to be complete in time."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the timer."""
        self._stop()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._stop()
        elif self._timer is None:
            self._timer = self.loop.call_later(self._seconds, self.transport.abort)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
