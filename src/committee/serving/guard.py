"""What happens to each HTTP request before and after it is answered."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import logging
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from committee.serving.header import check_header
from committee.serving.refusal import FAILED, MISDIRECTED, UNAUTHORIZED, Refusal
from committee.serving.service import Service

log = logging.getLogger(__name__)

OPEN = {"/", "/health", "/v2/health/live", "/v2/health/ready"}
"""Paths that need no token: they say nothing about models or images."""
SECURE = {
    b"x-content-type-options": b"nosniff",
    b"cache-control": b"no-store",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
}
"""Headers of each answer."""
FAILURE = Refusal(FAILED, "the server: it failed", todo="Its log has the reason.")
Count = Callable[[str, int, float], None]


def is_authorized(token: str, given: str) -> bool:
    """Return whether the value of an `Authorization` header has the token; the time does not tell which part.

    Examples
    --------
    >>> from committee.serving.guard import is_authorized
    >>> is_authorized("secret", "Bearer secret"), is_authorized("secret", "Bearer secre")
    (True, False)
    """
    scheme, _, value = given.partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(value.strip().encode(), token.encode())


class Guard:
    """An ASGI application around another one: it authenticates, admits and counts requests.

    Parameters
    ----------
    app : ASGI application
    service : Service
    count : callable
        Gets route, status and seconds of each request.
    token : str
        The token that requests must have; blank for none.
    hosts : collection of str
        The names that are accepted as `Host`; none for any. Without them, a web page whose name resolves to
        this computer could read answers of a server that needs no token.

    See Also
    --------
    committee.serving.app.app_of : The application.
    """

    def __init__(
        self, app: ASGIApp, service: Service, count: Count, token: str, hosts: Collection[str]
    ) -> None:
        self._app, self._service, self._count = app, service, count
        self._token, self._hosts = token, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, body = time.perf_counter(), _Body(scope, receive)
        answer = _Answer(send, body, self._service.limits.seconds)
        try:
            self._check(scope)
            await self._admitted(scope, body, answer)
        except Refusal as refusal:
            await body.skip()
            await answer.refuse(refusal)
        except ClientDisconnect:
            log.debug("%s %s: the client has closed the connection", scope["method"], _route(scope))
        except Exception:
            self._service.failures.add(f"{scope['method']} {_route(scope)}")
            await answer.refuse(FAILURE)
        self._count(_route(scope), answer.status, time.perf_counter() - start)

    async def _admitted(self, scope: Scope, body: _Body, answer: _Answer) -> None:
        """Answer a request that may have a body only if there is room for another one."""
        if scope["method"] != "POST":
            await self._app(scope, body, answer)
            return
        with self._service.admit():
            await self._app(scope, body, answer)

    def _check(self, scope: Scope) -> None:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if self._hosts and _host(headers) not in self._hosts:
            expected = f"one of {', '.join(sorted(self._hosts))}"
            raise Refusal(MISDIRECTED, "Host", expected=expected, got="another")
        given = headers.get(b"authorization", "")
        if self._token and scope["path"] not in OPEN and not is_authorized(self._token, given):
            expected = "Bearer and the token of the server"
            raise Refusal(
                UNAUTHORIZED, "Authorization", expected=expected, got="another" if given else "none"
            )
        if scope["method"] == "POST":
            check_header(scope["path"], headers, self._service.limits)


class _Body:
    """Receives the body of a request, and knows whether all of it has arrived."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive = receive
        headers = dict(scope["headers"])
        self.is_read = headers.get(b"content-length", b"0") == b"0" and b"transfer-encoding" not in headers

    async def __call__(self) -> Message:
        message = await self._receive()
        self.is_read = self.is_read or not message.get("more_body", False)
        return message

    async def skip(self) -> None:
        """Receive what has arrived of the body: if that is all of it, the connection may go on."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0):
                while not self.is_read:
                    await self()


class _Answer:
    """Sends an answer with the headers of all answers, to a client that reads it in time."""

    def __init__(self, send: Send, body: _Body, seconds: float) -> None:
        self._send, self._body, self._seconds, self.status = send, body, seconds, 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            known = {name.lower() for name, _ in message["headers"]}
            more = [(name, value) for name, value in SECURE.items() if name not in known]
            end = [] if self._body.is_read else [(b"connection", b"close")]
            message = {**message, "headers": [*message["headers"], *more, *end]}
        try:
            async with asyncio.timeout(self._seconds):
                await self._send(message)
        except TimeoutError:
            raise ClientDisconnect from None

    async def refuse(self, refusal: Refusal) -> None:
        """Send a refusal, unless an answer has begun."""
        if self.status:
            return
        body = error_body(str(refusal))
        headers = {"content-type": "application/json", "content-length": str(len(body)), **refusal.headers}
        encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await self({"type": "http.response.start", "status": refusal.status, "headers": encoded})
        await self({"type": "http.response.body", "body": body})


def error_body(message: str) -> bytes:
    """Return the body of an error, as the Open Inference Protocol has it."""
    return json.dumps({"error": message}).encode()


def _host(headers: Mapping[bytes, str]) -> str:
    """Return the `Host` of a request without its port."""
    host = headers.get(b"host", "")
    return host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host


def _route(scope: Mapping[str, Any]) -> str:
    """Return the pattern of the path of a request."""
    return str(getattr(scope.get("route"), "path", "other"))
