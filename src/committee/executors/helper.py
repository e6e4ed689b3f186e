"""A process that does tasks for another one, which speaks to it through standard input and output."""

from __future__ import annotations

import _thread
import contextlib
import gc
import logging
import logging.handlers
import os
import pickle
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from committee.base import interrupt, progress

STOP = "stop"


@dataclass(frozen=True)
class Setup:
    """What a helper is told first, before it imports what is heavy.

    Attributes
    ----------
    path : list of str
        `sys.path` of the process that started it: builders of one's own may be anywhere.
    level : int
        Of the log.
    watched : bool
        Whether anybody looks at progress bars.
    threads : int
        Of an operation of torch.
    """

    path: list[str]
    level: int
    watched: bool
    threads: int


class _Speaker:
    """Says what happens, one message at a time."""

    def __init__(self, channel: IO[bytes]) -> None:
        self._channel, self._lock = channel, threading.Lock()

    def __call__(self, what: str, value: Any = None) -> None:
        with self._lock:
            pickle.dump((what, value), self._channel)
            self._channel.flush()

    @contextlib.contextmanager
    def bar(self, total: int | None, what: str) -> Iterator[progress.Step]:
        """Show a bar where somebody looks: in the other process."""
        self("bar", (total, what))
        try:
            yield lambda steps, item="": self("step", (steps, item))
        finally:
            self("end")


class _LogHandler(logging.handlers.QueueHandler):
    """Hands records over to the other process's log."""

    def __init__(self, say: _Speaker) -> None:
        super().__init__(queue.SimpleQueue())
        self.say = say

    def enqueue(self, record: logging.LogRecord) -> None:
        self.say("log", record)


def _listen_to(channel: IO[bytes]) -> queue.SimpleQueue[Any]:
    """Return where tasks arrive; end with whoever gives them."""
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def listen() -> None:
        try:
            while True:
                # From the process that started this one, through a pipe that nobody else has.
                message = pickle.load(channel)
                if message == STOP:
                    _thread.interrupt_main(signal.SIGTERM)
                else:
                    tasks.put(message)
        finally:
            # It is gone, and its hold on the store with it: not one more byte may be written.
            os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    return tasks


def main() -> None:
    """Do tasks until nobody has any."""
    ears, mouth = (os.fdopen(os.dup(number), mode) for number, mode in ((0, "rb"), (1, "wb")))
    # What libraries print must not come in between.
    os.dup2(2, 1)
    tasks, say = _listen_to(ears), _Speaker(mouth)
    code = interrupt.EXIT_CODE
    try:
        with interrupt.handled():
            setup: Setup = tasks.get()
            _set_up(setup, say)
            _serve(tasks, say, setup.threads)
    except KeyboardInterrupt:
        say("interrupted")
    except Exception:
        traceback.print_exc()
        code = 1
    finally:
        sys.stderr.flush()
        # The listening thread may be in the middle of a read, which Python cannot end in order.
        os._exit(code)


def _set_up(setup: Setup, say: _Speaker) -> None:
    sys.path[:] = setup.path
    logger = logging.getLogger("committee")
    logger.setLevel(setup.level)
    logger.addHandler(_LogHandler(say))
    if setup.watched:
        progress.show_with(say.bar)


def _serve(tasks: queue.SimpleQueue[Any], say: _Speaker, threads: int) -> None:
    import torch

    torch.set_num_threads(threads)
    work = pickle.loads(tasks.get())
    # What is loaded by now would be walked again and again.
    gc.freeze()
    say("ready")
    while True:
        say("done", work.do(tasks.get()))
