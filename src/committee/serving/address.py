"""Where a server listens, and who may use it."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from pathlib import Path

from committee.errors import UsageError, missing, system_reason, unreadable

VARIABLE = "COMMITTEE_TOKEN"
LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
_SHORTEST = 16


def is_loopback(host: str) -> bool:
    """Return whether only this computer reaches an address.

    Examples
    --------
    >>> from committee.serving.address import is_loopback
    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def token_of(host: str, file: Path | None) -> str:
    """Return the token that requests must have, from a file or the environment; blank for none.

    Raises
    ------
    UsageError
        Other computers reach the server, and there is no token; or the token is too short or not ASCII.
    """
    token, who = os.environ.get(VARIABLE, "").strip(), VARIABLE
    if file is not None:
        token, who = _read(file), "--token-file"
    if not token and file is None:
        if is_loopback(host):
            return ""
        raise UsageError(
            f"--host {host}",
            expected="a token, since other computers reach this address",
            got="none",
            todo=f"Name a file that contains it with --token-file, or set {VARIABLE}.",
        )
    if len(token) < _SHORTEST or not (token.isascii() and token.isprintable()) or " " in token:
        raise UsageError(
            who,
            expected=f"a token of at least {_SHORTEST} ASCII characters without spaces",
            got="another",
            todo="Make one with: python -c 'import secrets; print(secrets.token_urlsafe())'",
        )
    return token


def hosts_of(host: str, token: str) -> tuple[str, ...]:
    """Return the names that are accepted as `Host`: those of this computer without a token, else any."""
    return () if token else tuple({*LOCAL_NAMES, f"[{host}]" if ":" in host else host})


def listen(host: str, port: int, option: str = "--port") -> socket.socket:
    """Return a socket that is bound to an address.

    Raises
    ------
    UsageError
        Another program uses the port, or the address is not one of this computer.
    """
    if not 0 <= port < 2**16:
        raise UsageError(option, expected="a port in 0..65535", got=str(port))
    bound: socket.socket | None = None
    try:
        family, kind, number, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, number)
        if sys.platform != "win32":  # There, it would allow two servers on one port.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen()
    except OSError as error:
        if bound is not None:
            bound.close()
        raise UsageError(
            f"{option} {port}",
            expected=f"a port of {host} that is free and may be used",
            got=system_reason(error),
            todo=f"Give another one with {option}; 0 takes any that is free.",
        ) from None
    return bound


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise missing(UsageError, file) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error if isinstance(error, OSError) else OSError("it is not text")
        raise unreadable(UsageError, file, reason) from None
