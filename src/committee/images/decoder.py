"""Main program of a data worker: reads images from stdin, writes pixels or error messages to stdout."""

from __future__ import annotations

import os
import signal
import struct
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from committee.images.canvas_of import squares_of
from committee.images.decode import ImageError, decode
from committee.images.masks import decode_mask

REQUEST = struct.Struct("<?BBQ")
"""Whether a path follows (else the content of a file), the number of channels or `MASK`, the number of
squares that are wanted in place of the pixels, and the length; first the squares follow."""
SQUARE = struct.Struct("<IB")
"""Size, and position in `FITS`, of a square."""
FITS = ("crop", "squash", "pad")
RESPONSE = struct.Struct("<?cQQQ")
"""Whether pixels follow, the code of their type, and their shape `[c, H, W]`, or `[H, W, T]` of a mask; or
1, 1 and the length of the error message, or of hash and squares (`canvas_of.squares_of`)."""
MASK = 0
READY = b"\n"
"""Sent once when the worker has started."""


def respond(
    content: bytes, is_path: bool, channels: int, squares: Sequence[tuple[int, str]] = ()
) -> tuple[bytes, bytes | memoryview]:
    """Return header and body of the response to one request."""
    source = Path(os.fsdecode(content)) if is_path else content
    try:
        pixels = decode_mask(source) if channels == MASK else decode(source, channels)
    except ImageError as error:
        reason = error.reason.encode()
        return RESPONSE.pack(False, b"B", 1, 1, len(reason)), reason
    if squares:
        name, found = squares_of(pixels, squares)
        body = name + b"".join(square.data for square in found)
        return RESPONSE.pack(True, b"B", 1, 1, len(body)), body
    code = pixels.dtype.char.encode()
    return RESPONSE.pack(True, code, *pixels.shape), np.ascontiguousarray(pixels).data.cast("B")


def main() -> None:
    """Serve requests until stdin ends; Ctrl-C is handled by the parent process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    requests, responses = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # libraries may print to stdout
    responses.write(READY)
    responses.flush()
    while header := requests.read(REQUEST.size):
        is_path, channels, count, length = REQUEST.unpack(header)
        kinds = SQUARE.iter_unpack(requests.read(count * SQUARE.size))
        squares = [(size, FITS[fit]) for size, fit in kinds]
        for part in respond(requests.read(length), is_path, channels, squares):
            responses.write(part)
        responses.flush()


if __name__ == "__main__":
    try:
        main()
    except OSError:  # the parent process has ended
        os._exit(1)
