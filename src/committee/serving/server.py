"""The server of models: from options to a process that answers until it gets a signal."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import uvicorn

from committee.base.interrupt import unwatched
from committee.serving.address import hosts_of, listen, token_of
from committee.serving.app import app_of
from committee.serving.certificate import Certificate, read_certificate
from committee.serving.connection import Connection
from committee.serving.measures import Measures
from committee.serving.service import Service

KEEP_ALIVE = 75
"""Seconds after which a connection without requests is closed."""
HEADER = 16_384
"""Largest number of bytes of a header."""
HANDSHAKE = 10.0
"""Largest number of seconds in which a client has to agree on the encryption."""
GRPC = "--grpc-port"


@dataclass(frozen=True)
class Listening:
    """Where a server listens: a bound socket for HTTP, one for gRPC or none, the token that it needs, and the
    certificate with which it encrypts, or none.

    `bind` makes it; `http_at` and `grpc_at` are the addresses, a host and a port. As a context, it closes the
    sockets at the end.
    """

    host: str
    http: socket.socket
    http_at: str
    grpc: socket.socket | None
    grpc_at: str
    token: str
    certificate: Certificate | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for bound in filter(None, (self.http, self.grpc)):
            bound.close()

    def addresses(self) -> list[str]:
        """Return the address of each protocol."""
        safe = "s" if self.certificate else ""
        found = [f"http{safe}://{self.http_at}"]
        return found if self.grpc is None else [*found, f"grpc{safe}://{self.grpc_at}"]


def bind(
    host: str,
    port: int,
    grpc_port: int | None = None,
    token_file: Path | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
) -> Listening:
    """Return where a server listens, before it opens its models.

    Parameters
    ----------
    host : str
        Name or address of this computer; other computers reach those that are not loopback addresses.
    port, grpc_port : int
        Ports of HTTP and gRPC; 0 takes any that is free.
    token_file : Path, optional
        File with the token; by default, it is in `$COMMITTEE_TOKEN`.
    certificate, key : Path, optional
        Files with the certificate and its private key, with which both protocols are encrypted; see
        `read_certificate`.

    Raises
    ------
    UsageError
        A port is in use, or other computers reach the server and there is no token, or the certificate cannot
        be used.
    """
    encrypted = read_certificate(certificate, key)
    token = token_of(host, token_file)
    http = listen(host, port)
    grpc = None if grpc_port is None else listen(host, grpc_port, GRPC)
    return Listening(host, http, _at(host, http), grpc, _at(host, grpc), token, encrypted)


def _at(host: str, bound: socket.socket | None) -> str:
    """Return the address of a socket."""
    return "" if bound is None else f"{f'[{host}]' if ':' in host else host}:{bound.getsockname()[1]}"


class Server:
    """A server of HTTP, and of gRPC if there is a socket for it.

    Parameters
    ----------
    service : Service
    measures : Measures
    listening : Listening
    on_start : callable, optional
        Called when it answers.

    See Also
    --------
    bind : Returns where it listens.
    """

    def __init__(
        self,
        service: Service,
        measures: Measures,
        listening: Listening,
        on_start: Callable[[], None] = lambda: None,
    ) -> None:
        self._service, self._measures, self._listening = service, measures, listening
        self._seconds = service.limits.seconds
        self._http = _Http(self._config(), on_start, listening.certificate)

    def run(self) -> None:
        """Answer until a signal or `stop`; then answer what has been accepted."""
        with unwatched():
            asyncio.run(self._serve())

    def stop(self) -> None:
        """End the server; may be called from any thread."""
        self._http.should_exit = True

    def _config(self) -> uvicorn.Config:
        service, place = self._service, self._listening
        app = app_of(service, self._measures, place.token, hosts_of(place.host, place.token))
        connection: Any = functools.partial(
            Connection, seconds=service.limits.seconds, most=service.limits.connections, header=HEADER
        )
        return uvicorn.Config(
            app,
            http=connection,
            ws="none",
            loop="asyncio",
            lifespan="on",
            log_config=None,
            log_level="critical",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE,
            timeout_graceful_shutdown=math.ceil(self._seconds),
        )

    async def _serve(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            if self._listening.grpc is not None:
                await stack.enter_async_context(self._grpc(self._listening.grpc))
            await self._http.serve([self._listening.http])

    @contextlib.asynccontextmanager
    async def _grpc(self, reserved: socket.socket) -> Any:
        """Run the gRPC server, on the port that a socket has reserved."""
        from committee.serving.grpc_server import bind_grpc, grpc_server_of

        reserved.close()
        place = self._listening
        server = grpc_server_of(self._service, self._measures.count_request, place.token)
        bind_grpc(server, place.grpc_at, place.certificate, GRPC)
        await server.start()
        try:
            yield
        finally:
            await server.stop(self._seconds)


class _Http(uvicorn.Server):
    """The HTTP server, which ends without raising the signal again that has ended it."""

    def __init__(
        self, config: uvicorn.Config, on_start: Callable[[], None], certificate: Certificate | None
    ) -> None:
        super().__init__(config)
        self._on_start, self._certificate = on_start, certificate

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._certificate:
            self.config.ssl = self._certificate.context
            _limit_handshakes(asyncio.get_running_loop())
        await super().startup(sockets)
        self._on_start()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _limit_handshakes(loop: Any) -> None:
    """Limit the time in which clients of the servers of a loop agree on the encryption."""
    loop.create_server = functools.partial(loop.create_server, ssl_handshake_timeout=HANDSHAKE)
