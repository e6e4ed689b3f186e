"""Data workers: processes that decode, so that a file that crashes its decoder takes no run with it."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from queue import LifoQueue
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError, printable
from committee.images.decode import MAX_PIXELS, refusal
from committee.images.decoder import ANSWER, QUESTION, READY

COMMAND = (sys.executable, "-P", "-m", "committee.images.decoder")
START, PATIENCE = 60.0, 60.0
"""Seconds that a worker has to start, and for one image."""
MOST_LOST = 10
"""More images than this do not each kill a worker by chance: the machine does, or somebody."""


class WorkersFailed(DataError):
    """No worker starts, or too many die: no fault of a single image."""


class _Lost(Exception):
    """A worker died or was killed; the text says how."""


class Workers:
    """Up to `count` processes that decode; each starts when it is first needed.

    A worker that dies, or has no answer after `PATIENCE` seconds, is replaced, and its image tried once more
    in the new one. As a context manager, it ends its workers, whatever they do.

    Parameters
    ----------
    count : int
    """

    def __init__(self, count: int) -> None:
        self._all = [_Worker() for _ in range(count)]
        self._idle: LifoQueue[_Worker] = LifoQueue()
        for worker in self._all:
            self._idle.put(worker)
        self._lost = 0
        self._over = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._over.set()
        for worker in self._all:
            worker.close()

    def decode(self, image: Path | bytes, channels: int, name: str) -> NDArray[np.uint8]:
        """Return the pixels of one image, as `decode.decode` does. Any number of threads may ask.

        Raises
        ------
        DataError
            As there; or the image ended two workers.
        WorkersFailed
            Workers do not start, or more than ten images ended theirs.
        """
        content = image if isinstance(image, bytes) else os.fsencode(image)
        question = QUESTION.pack(not isinstance(image, bytes), channels == 3, len(content))
        worker = self._idle.get()
        try:
            try:
                found, shape, body = worker.ask(question, content)
            except _Lost:
                found, shape, body = worker.ask(question, content)
        except _Lost as how:
            raise self._give_up(name, str(how)) from None
        finally:
            self._idle.put(worker)
        if not found:
            raise refusal(name, body.decode())
        return np.frombuffer(body, np.uint8).reshape(shape)

    def _give_up(self, name: str, how: str) -> DataError:
        self._lost += 1
        if self._lost <= MOST_LOST:
            return refusal(name, f"one that {how}, twice")
        return WorkersFailed(
            "data workers",
            expected=f"at most {MOST_LOST} images that end the process that decodes them",
            got=f"one more, {printable(name)}, that {how}",
            todo="Look at memory and disk, or use fewer: --set dataset.num_workers=1",
        )

    def _watch(self) -> None:
        while not self._over.wait(min(1.0, PATIENCE / 4)):
            for worker in self._all:
                worker.check()


class _Worker:
    """One process, asked by one thread at a time; where it has ended, the next question starts another."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()
        self._deadline = float("inf")
        self._late = self._closed = False

    def ask(self, question: bytes, content: bytes) -> tuple[bool, tuple[int, ...], bytearray]:
        """Return whether there are pixels, their shape, and they or the reason; or raise `_Lost`."""
        process = self._process or self._start()
        self._deadline = time.monotonic() + PATIENCE
        try:
            _write(process, question + content)
            found, *shape = ANSWER.unpack(_read(process, ANSWER.size))
            if shape[1] * shape[2] > MAX_PIXELS:
                raise EOFError
            return found, tuple(shape), _read(process, shape[0] * shape[1] * shape[2])
        except (EOFError, OSError, ValueError):  # ValueError: `close` was faster
            raise _Lost(self._end(process)) from None
        finally:
            self._deadline = float("inf")

    def check(self) -> None:
        """Kill the process if its time is over."""
        if time.monotonic() > self._deadline and self._process:
            self._late = True
            self._process.kill()

    def close(self) -> None:
        """End the process, whatever it does, and start no other."""
        with self._starting:
            self._closed, process = True, self._process
        if process:
            process.kill()
            self._end(process)

    def _start(self) -> subprocess.Popen[bytes]:
        with self._starting:
            if self._closed:
                raise _Lost("was not needed any more")
            # In a group of its own, it does not hear of Ctrl-C, not even before `main` ignores it.
            self._process = process = subprocess.Popen(
                COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment(), process_group=0
            )
        self._late, self._deadline = False, time.monotonic() + START
        try:
            _read(process, len(READY))
        except EOFError:
            raise WorkersFailed(
                "data workers",
                expected="processes that decode images",
                got=f"one that {self._end(process)}",
                todo="Decode in this process: --set dataset.num_workers=0",
            ) from None
        return process

    def _end(self, process: subprocess.Popen[bytes]) -> str:
        """Bury the process, and say how it died."""
        self._process = None
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        code = process.wait()
        for pipe in filter(None, (process.stdin, process.stdout)):
            with contextlib.suppress(OSError):
                pipe.close()
        if self._late:
            return f"leaves its decoder without an answer for {PATIENCE:g} seconds"
        return f"ends its decoder ({f'signal {-code}' if code < 0 else f'exit code {code}'})"


def _environment() -> dict[str, str]:
    """Return the variables of a worker: it finds what this process finds, and starts no threads."""
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
