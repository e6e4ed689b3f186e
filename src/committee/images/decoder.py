"""What a data worker runs: images come in, their pixels or the reason why there are none go out."""

from __future__ import annotations

import os
import signal
import struct
import sys
import warnings
from pathlib import Path

import numpy as np

from committee.errors import DataError
from committee.images.decode import decode

QUESTION = struct.Struct("<??Q")
"""Whether a path follows (else the content of a file), whether in color, and the length of what follows."""
ANSWER = struct.Struct("<?QQQ")
"""Whether pixels follow, and their shape `[c, H, W]`; or 1, 1 and the length of the reason."""
READY = b"\n"
"""What a worker says first, once."""


def answer(content: bytes, is_path: bool, channels: int) -> tuple[bytes, bytes | memoryview]:
    """Return the head and the body of the answer to one question."""
    source = Path(os.fsdecode(content)) if is_path else content
    try:
        pixels = decode(source, channels)
    except DataError as error:
        reason = error.got.encode()
        return ANSWER.pack(False, 1, 1, len(reason)), reason
    return ANSWER.pack(True, *pixels.shape), np.ascontiguousarray(pixels).data.cast("B")


def main() -> None:
    """Answer until the input ends; the parent alone hears of Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    questions, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    answers.write(READY)
    answers.flush()
    while head := questions.read(QUESTION.size):
        is_path, colored, length = QUESTION.unpack(head)
        for part in answer(questions.read(length), is_path, 3 if colored else 1):
            answers.write(part)
        answers.flush()


if __name__ == "__main__":
    try:
        main()
    except OSError:  # the parent is gone, and nobody is left to be told
        os._exit(1)
