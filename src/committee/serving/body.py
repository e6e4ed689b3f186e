"""The body of a request: read in memory, within the limits of size and time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from committee.serving.header import MULTIPART, READ, boundary_of, too_large
from committee.serving.limits import Limits
from committee.serving.refusal import BAD, SLOW, Refusal

PAUSE = 5.0
"""Seconds after which a client that sends nothing has stopped: it holds a place in the queue."""


async def read_body(request: Request, limits: Limits) -> bytes:
    """Return the body of a request whose header has been checked.

    Raises
    ------
    Refusal
        It is too large, or arrives too slowly.
    ClientDisconnect
        The client has gone.
    """
    try:
        async with asyncio.timeout(limits.seconds):
            return await _read(request, limits)
    except TimeoutError:
        expected = f"a body within {limits.seconds:g} s, without a pause of {_pause(limits):g} s"
        raise Refusal(SLOW, "the request", expected=expected, got="a slower one") from None


async def _read(request: Request, limits: Limits) -> bytes:
    body, size = bytearray(), 0
    parts = aiter(request.stream())
    while part := await _next(parts, limits):
        size += len(part)
        if size <= limits.body:
            body += part
        elif size > READ * limits.body:
            break
    if size > limits.body:
        raise too_large(limits)
    return bytes(body)


async def _next(parts: AsyncIterator[bytes], limits: Limits) -> bytes:
    """Return the next part of a body; nothing at its end."""
    async with asyncio.timeout(_pause(limits)):
        return await anext(parts, b"")


def _pause(limits: Limits) -> float:
    return min(PAUSE, limits.seconds)


def photo_of(kind: str, body: bytes) -> bytes:
    """Return the file in a body: the body itself, or the one file of a form.

    Parameters
    ----------
    kind : str
        The header `Content-Type`.
    body : bytes

    Raises
    ------
    Refusal
        There is no file, or there are several, or it is something else.
    """
    if not (boundary := boundary_of(kind)):
        return body
    files = _files(boundary, body)
    if len(files) != 1:
        raise Refusal(BAD, "the form", expected="one file", got=str(len(files)))
    return files[0]


def _files(boundary: bytes, body: bytes) -> list[bytes]:
    """Return the files of a form; fields without a file name are not files."""
    files, disposition, header, value = list[bytearray](), bytearray(), bytearray(), bytearray()
    is_file = False

    def begin() -> None:
        nonlocal is_file
        is_file = False
        disposition.clear()

    def end_header() -> None:
        if header.lower() == b"content-disposition":
            disposition[:] = value
        header.clear()
        value.clear()

    def end_headers() -> None:
        nonlocal is_file
        _, options = parse_options_header(bytes(disposition))
        is_file = b"filename" in options
        if is_file:
            files.append(bytearray())

    def data(content: bytes, start: int, end: int) -> None:
        if is_file:
            files[-1] += content[start:end]

    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": begin,
            "on_header_field": lambda content, start, end: header.extend(content[start:end]),
            "on_header_value": lambda content, start, end: value.extend(content[start:end]),
            "on_header_end": end_header,
            "on_headers_finished": end_headers,
            "on_part_data": data,
        },
    )
    try:
        parser.write(body)
        parser.finalize()
    except FormParserError:
        raise Refusal(BAD, "the form", expected=MULTIPART, got="a damaged one") from None
    return [bytes(each) for each in files]
