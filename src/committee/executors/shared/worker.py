"""Worker process: does tasks for the process that started it, and communicates through standard streams."""

from __future__ import annotations

import _thread
import contextlib
import gc
import itertools
import logging
import logging.handlers
import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from committee.base import events, interrupt, progress

STOP = "stop"
SIGN_SECONDS = 10.0
"""Seconds between signs of progress, where no bars are shown."""


@dataclass(frozen=True)
class Setup:
    """First message to a worker, before it imports heavy packages.

    Attributes
    ----------
    path : list of str
        `sys.path` of the process that starts the worker, since the user's own builders may be anywhere.
    level : int
        Level of the log.
    watched : bool
        Whether progress bars are shown.
    threads : int
        Threads of an operation of torch.
    """

    path: list[str]
    level: int
    watched: bool
    threads: int


class _Sender:
    """Sends messages to the process that started this one, one at a time."""

    def __init__(self, channel: IO[bytes]) -> None:
        self._channel, self._lock, self._bars = channel, threading.Lock(), itertools.count()

    def __call__(self, kind: str, value: Any = None) -> None:
        with self._lock:
            pickle.dump((kind, value), self._channel)
            self._channel.flush()

    @contextlib.contextmanager
    def bar(self, total: int | None, what: str) -> Iterator[progress.Step]:
        """Show a progress bar in the other process."""
        number = next(self._bars)
        self("bar", (number, total, what))
        try:
            yield lambda steps, item="": self("step", (number, steps, item))
        finally:
            self("end", number)

    @contextlib.contextmanager
    def signs(self, total: int | None, what: str) -> Iterator[progress.Step]:
        """Show no progress bar, but a sign of progress now and then."""
        told = time.monotonic()

        def step(steps: int, item: str = "") -> None:
            nonlocal told
            if time.monotonic() - told > SIGN_SECONDS:
                told = time.monotonic()
                self("alive")

        yield step


class _LogHandler(logging.handlers.QueueHandler):
    """Sends log records to the other process."""

    def __init__(self, send: _Sender) -> None:
        super().__init__(queue.SimpleQueue())
        self.send = send

    def enqueue(self, record: logging.LogRecord) -> None:
        self.send("log", record)


def _receive(channel: IO[bytes]) -> queue.SimpleQueue[Any]:
    """Return a queue of the messages that arrive; end this process when the other one ends."""
    messages: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def listen() -> None:
        try:
            while True:
                # From the process that started this one, through a pipe that no other process has.
                message = pickle.load(channel)
                if message == STOP:
                    _thread.interrupt_main(signal.SIGTERM)
                else:
                    messages.put(message)
        finally:
            # The other process has ended, and no longer holds the store: nothing more may be written.
            os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    return messages


def main() -> None:
    """Do tasks until the process that started this one ends."""
    incoming, outgoing = (os.fdopen(os.dup(number), mode) for number, mode in ((0, "rb"), (1, "wb")))
    # Whatever libraries print must not be mixed with the messages.
    os.dup2(2, 1)
    messages, send = _receive(incoming), _Sender(outgoing)
    code = interrupt.EXIT_CODE
    try:
        with interrupt.handled():
            setup: Setup = messages.get()
            _set_up(setup, send)
            _do_tasks(messages, send, setup.threads)
    except KeyboardInterrupt:
        send("interrupted")
    except Exception:
        traceback.print_exc()
        code = 1
    finally:
        sys.stderr.flush()
        # The receiving thread may be reading, which Python cannot end in an orderly way.
        os._exit(code)


def _set_up(setup: Setup, send: _Sender) -> None:
    sys.path[:] = setup.path
    logger = logging.getLogger("committee")
    logger.setLevel(setup.level)
    logger.addHandler(_LogHandler(send))
    events.add_listener(lambda event: send("event", event))
    progress.show_with(send.bar if setup.watched else send.signs)


def _do_tasks(messages: queue.SimpleQueue[Any], send: _Sender, threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    work = pickle.loads(messages.get())
    # Objects loaded so far stay alive: the garbage collector need not examine them again.
    gc.freeze()
    send("ready")
    while True:
        send("done", work.do(messages.get()))
