"""Processes that decode images, so that a file that crashes the decoder does not end the run."""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from queue import LifoQueue
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError, printable
from committee.images.canvas_of import PRINT
from committee.images.decode import MAX_PIXELS, image_error
from committee.images.decoder import FITS, MASK, READY, REQUEST, RESPONSE, SQUARE
from committee.images.masks import MOST_TARGETS, OF_MASK, mask_error

COMMAND = (sys.executable, "-P", "-m", "committee.images.decoder")
START, PATIENCE = 60.0, 60.0
"""Time limits in seconds for the start of a worker and for one image."""
MOST_CRASHES = 10
"""Largest number of images that may crash their worker; if there are more, the cause is not the images."""


class WorkersFailed(DataError):
    """No worker starts, or too many crash."""


class _Crash(Exception):
    """A worker ended or was killed; the message describes how."""


class Workers:
    """A pool of processes that decode images; each process is started when it is first needed.

    A worker that crashes or exceeds the time limit is replaced, and its image is tried once more, or `tries`
    times in all. Leaving the context ends all workers.

    Parameters
    ----------
    count : int
        Largest number of processes.
    most_crashes : float, optional
        Largest number of images that may crash their worker; 10 by default, infinity in a program that gets
        images from others.
    patience : float, optional
        Time limit in seconds for one image; 60 by default.
    tries : int
        Number of times that an image is tried.

    See Also
    --------
    committee.images.decode.decode : Decode an image in this process.
    """

    def __init__(
        self,
        count: int,
        *,
        most_crashes: float = MOST_CRASHES,
        patience: float = PATIENCE,
        tries: int = 2,
    ) -> None:
        self._most_crashes, self._tries = most_crashes, tries
        self._patience = patience
        self._all = [_Worker(patience) for _ in range(count)]
        self._idle: LifoQueue[_Worker] = LifoQueue()
        for worker in self._all:
            self._idle.put(worker)
        self._crashes = 0
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._closed.set()
        for worker in self._all:
            worker.close()

    def decode(self, image: Path | bytes, channels: int, name: str) -> NDArray[np.uint8]:
        """Decode one image like `decode.decode`; may be called from any number of threads.

        Raises
        ------
        ImageError
            The image cannot be decoded, or crashed two workers.
        WorkersFailed
            Workers do not start, or more than ten images crashed their workers.
        """
        found: NDArray[np.uint8] = self._decoded(image, channels, name, image_error)
        return found

    def squares(
        self, image: Path | bytes, channels: int, name: str, kinds: Sequence[tuple[int, str]]
    ) -> tuple[bytes, list[NDArray[np.uint8]]]:
        """Decode one image and resize it, like `canvas_of.squares_of`; raises what `decode` raises."""
        found = self._decoded(image, channels, name, image_error, kinds)[0, 0]
        shapes = [(size, size, channels) for size, _ in kinds]
        ends = np.cumsum([PRINT, *map(math.prod, shapes)]).tolist()
        parts = [found[start:end] for start, end in itertools.pairwise(ends)]
        return found[:PRINT].tobytes(), [
            part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)
        ]

    def decode_mask(self, mask: Path | bytes, name: str) -> NDArray[Any]:
        """Decode one mask like `masks.decode_mask`; raises what `decode` raises."""
        return self._decoded(
            mask, MASK, name, lambda who, reason: mask_error(who, reason.removeprefix(OF_MASK))
        )

    def _decoded(
        self,
        file: Path | bytes,
        channels: int,
        name: str,
        error_of: Callable[[str, str], DataError],
        kinds: Sequence[tuple[int, str]] = (),
    ) -> NDArray[Any]:
        content = file if isinstance(file, bytes) else os.fsencode(file)
        request = REQUEST.pack(not isinstance(file, bytes), channels, len(kinds), len(content))
        request += b"".join(SQUARE.pack(size, FITS.index(fit)) for size, fit in kinds)
        response = self._sent(request + content, name, error_of)
        if not response.success:
            raise error_of(name, response.body.decode())
        return np.frombuffer(response.body, response.dtype).reshape(response.shape)

    def _sent(self, request: bytes, name: str, error_of: Callable[[str, str], DataError]) -> _Response:
        """Return the response of a worker, which may have to be started again."""
        worker, how = self._idle.get(), ""
        try:
            for turn in range(1, self._tries + 1):
                try:
                    return worker.send(request)
                except _Crash as crash:
                    how = str(crash)
                except WorkersFailed:
                    if turn == self._tries:
                        raise
        finally:
            self._idle.put(worker)
        raise self._crash_error(name, how, error_of)

    def _crash_error(self, name: str, how: str, error_of: Callable[[str, str], DataError]) -> DataError:
        self._crashes += 1
        if self._crashes <= self._most_crashes:
            times = "twice" if self._tries == 2 else f"{self._tries} times"
            return error_of(name, f"an image that {how} {times}")
        return WorkersFailed(
            "data workers",
            expected=f"at most {self._most_crashes} images that crash a worker",
            got=f"one more: {printable(name)} {how}",
            todo="Check memory and disk, or use fewer workers: --set dataset.num_workers=1",
        )

    def _watch(self) -> None:
        while not self._closed.wait(min(1.0, self._patience / 4)):
            for worker in self._all:
                worker.check()


class _Response(NamedTuple):
    """Whether a request succeeded, and the pixels, or the error message."""

    success: bool
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    body: bytearray


class _Worker:
    """One process, used by one thread at a time; if it has ended, the next request starts another."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()
        self._deadline = float("inf")
        self._is_late = self._is_closed = False

    def send(self, request: bytes) -> _Response:
        """Send a request, and return the response.

        Raises
        ------
        _Crash
            The process ended.
        """
        process = self._process or self._start()
        self._deadline = time.monotonic() + self._patience
        try:
            _write(process, request)
            success, code, *shape = RESPONSE.unpack(_read(process, RESPONSE.size))
            if math.prod(shape) > MAX_PIXELS * MOST_TARGETS:
                raise EOFError
            dtype = np.dtype(code.decode())
            return _Response(success, dtype, tuple(shape), _read(process, math.prod(shape) * dtype.itemsize))
        except (EOFError, OSError, ValueError):  # ValueError: closed by another thread
            raise _Crash(self._end(process)) from None
        finally:
            self._deadline = float("inf")

    def check(self) -> None:
        """Kill the process if it has exceeded its time limit."""
        if time.monotonic() > self._deadline and self._process:
            self._is_late = True
            self._process.kill()

    def close(self) -> None:
        """End the process and prevent the start of another."""
        with self._starting:
            self._is_closed, process = True, self._process
        if process:
            process.kill()
            self._end(process)

    def _start(self) -> subprocess.Popen[bytes]:
        with self._starting:
            if self._is_closed:
                raise _Crash("was stopped")
            # In its own group the process does not receive Ctrl-C, even before `main` ignores it.
            self._process = process = subprocess.Popen(
                COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment(), process_group=0
            )
        self._is_late, self._deadline = False, time.monotonic() + START
        try:
            _read(process, len(READY))
        except EOFError:
            raise WorkersFailed(
                "data workers",
                expected="processes that start",
                got=f"one that {self._end(process)}",
                todo="Decode in this process: --set dataset.num_workers=0",
            ) from None
        return process

    def _end(self, process: subprocess.Popen[bytes]) -> str:
        """Wait for the end of the process and describe how it ended."""
        self._process = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        code = process.wait()
        for pipe in filter(None, (process.stdin, process.stdout)):
            with contextlib.suppress(OSError):
                pipe.close()
        if self._is_late:
            return f"took more than {self._patience:g} seconds"
        return f"crashed its process ({f'signal {-code}' if code < 0 else f'exit code {code}'})"


def _environment() -> dict[str, str]:
    """Return the environment of a worker: the import path of this process, and one thread."""
    path = os.pathsep.join(each or str(Path.cwd()) for each in sys.path)
    return os.environ | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _write(process: subprocess.Popen[bytes], content: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(content)
    process.stdin.flush()


def _read(process: subprocess.Popen[bytes], count: int) -> bytearray:
    assert isinstance(process.stdout, io.BufferedReader)
    content = bytearray(count)
    if process.stdout.readinto(content) < count:
        raise EOFError
    return content
