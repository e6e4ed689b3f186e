"""A connection of the HTTP server that ends if its client sends no complete header in time."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class Connection(HttpToolsProtocol):
    """A connection with limits of time and size for the header of each request, and of their number.

    The base class limits the time between requests; the body has a limit in `read_body`.

    Parameters
    ----------
    *args, **options
        Those of the base class.
    seconds : float
        Time in which a header has to be complete.
    most : int
        Largest number of connections; a further one is closed.
    header : int
        Largest number of bytes of a header.

    See Also
    --------
    committee.serving.body.read_body : Reads the body.
    """

    def __init__(self, *args: Any, seconds: float, most: int, header: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self._seconds, self._most, self._header = seconds, most, header
        self._is_in_header, self._received = True, 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin the time of the first header."""
        super().connection_made(transport)
        if len(self.connections) > self._most:
            transport.abort()
            return
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Read what arrived; a header that has begun has to be complete in time, and to be small."""
        if self._is_in_header:
            self._watch()
            self._received += len(data)
        super().data_received(data)
        if self._is_in_header and self._received > self._header:
            self.send_400_response(f"The header: expected at most {self._header} bytes, got more.")

    def on_headers_complete(self) -> None:
        """End the time of the header."""
        self._is_in_header = False
        self._stop()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Expect the next header."""
        super().on_message_complete()
        self._is_in_header, self._received = True, 0

    def connection_lost(self, exc: Exception | None) -> None:
        """End the timer."""
        self._stop()
        super().connection_lost(exc)

    def _watch(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(self._seconds, self.transport.abort)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
