"""Handling of SIGINT and SIGTERM: a fit ends its batch and saves its state; other code stops immediately."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from types import FrameType

EXIT_CODE = 130
SENTENCE = "interrupted; completed results are stored, and the same command resumes from there."
PATIENCE = 9.0
"""Seconds after a signal until the process is ended; a batch or an export may be one long native call."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _State:
    """The signals received, and whether running code checks for them."""

    def __init__(self) -> None:
        self.signals: list[int] = []
        self.is_deferred = False


_state = _State()


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into KeyboardInterrupt while the block runs, as the command line does.

    Inside `deferred`, the first signal only makes `requested` true; a second SIGINT raises immediately. In
    any case the process ends with code 130 within ten seconds; the store stays intact, as after a kill.
    Outside the main thread, and for signals that the parent process ignores, the block has no effect.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.signals, _state.is_deferred = [], False
    # The thread is started beforehand, since a signal handler may safely use nothing but a SimpleQueue.
    messages = SimpleQueue[bool]()
    threading.Thread(target=_watch, args=(messages,), daemon=True).start()

    def receive(number: int, frame: FrameType | None) -> None:
        is_first, is_repeated = not _state.signals, signal.SIGINT in _state.signals
        _state.signals.append(number)
        if is_first:
            messages.put(True)
        if (is_first and not _state.is_deferred) or (is_repeated and number == signal.SIGINT):
            raise KeyboardInterrupt

    before = {each: signal.getsignal(each) for each in _SIGNALS}
    before = {each: handler for each, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for each in before:
        signal.signal(each, receive)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
        messages.put(False)
        _state.signals = []


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Defer signals while the block runs; the block must check `requested` every few seconds.

    Raises
    ------
    KeyboardInterrupt
        At the end of the block, if a signal was received.
    """
    _state.is_deferred = True
    try:
        yield
    finally:
        _state.is_deferred = False
    raise_if_requested()


def requested() -> bool:
    """Return whether a signal has requested the end of this process."""
    return bool(_state.signals)


def raise_if_requested() -> None:
    """Raise KeyboardInterrupt if a signal has requested the end of this process."""
    if requested():
        raise KeyboardInterrupt


def _watch(messages: SimpleQueue[bool]) -> None:
    """Wait for a signal, then end the process unless `handled` ends in time."""
    if messages.get():
        try:
            messages.get(timeout=PATIENCE)
        except Empty:
            _end()


def _end() -> None:
    """End the process and its child processes immediately."""
    os.write(2, f"committee: {SENTENCE}\n".encode())
    if "multiprocessing" in sys.modules:
        for child in sys.modules["multiprocessing"].active_children():
            child.kill()
    os._exit(EXIT_CODE)
