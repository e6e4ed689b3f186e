"""The body of a request: read in memory, within the limits of size and time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from committee.serving.limits import Limits
from committee.serving.refusal import BAD, KIND, LARGE, SLOW, Refusal

MULTIPART = "multipart/form-data"
_READ = 4
"""Bodies of up to so many times the limit are read to their end, so that the client reads the answer."""
PAUSE = 5.0
"""Seconds after which a client that sends nothing has stopped: it holds a place in the queue."""
PHOTO_TYPES = ("image/jpeg", "image/png", "image/webp", "application/octet-stream")


async def read_body(request: Request, limits: Limits) -> bytes:
    """Return the body of a request.

    Raises
    ------
    Refusal
        It is too large, arrives too slowly, or is compressed.
    ClientDisconnect
        The client has gone.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise Refusal(
            KIND, "the request", expected="a body without Content-Encoding", got=ascii(encoding)[:50]
        )
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > _READ * limits.body:
        raise _too_large(limits)
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
        elif size > _READ * limits.body:
            break
    if size > limits.body:
        raise _too_large(limits)
    return bytes(body)


async def _next(parts: AsyncIterator[bytes], limits: Limits) -> bytes:
    """Return the next part of a body; nothing at its end."""
    async with asyncio.timeout(_pause(limits)):
        return await anext(parts, b"")


def _pause(limits: Limits) -> float:
    return min(PAUSE, limits.seconds)


def _too_large(limits: Limits) -> Refusal:
    return Refusal(LARGE, "the request", expected=f"at most {limits.body} bytes", got="more")


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
    name, options = parse_options_header(kind.encode("latin-1"))
    if name.decode("latin-1") in PHOTO_TYPES:
        return body
    if name.decode("latin-1") != MULTIPART or b"boundary" not in options:
        expected = f"{MULTIPART} with a boundary, or {', '.join(PHOTO_TYPES)}"
        raise Refusal(KIND, "Content-Type", expected=expected, got=ascii(kind)[:100])
    files = _files(options[b"boundary"], body)
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
