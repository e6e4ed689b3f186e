"""SIGINT and SIGTERM: a fit ends its batch and keeps its state; all else stops at once; nothing hangs."""

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
SENTENCE = "interrupted; what is finished is kept, and the same command goes on from there."
# A batch, a fit of a meta-learner or an export may be one long call of native code.
PATIENCE = 9.0
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Asked:
    """Which signals have come, and whether somebody promised to look."""

    def __init__(self) -> None:
        self.signals: list[int] = []
        self.looked_after = False


_now = _Asked()


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into KeyboardInterrupt while the block runs; the command line does.

    Inside `deferred` the first one only makes `asked` true; a second SIGINT stops at once. Whatever the
    process is doing, it ends with code 130 within ten seconds: what is in the store stays whole, as after a
    kill. Outside the main thread, and for signals that the parent process had ignored, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _now.signals, _now.looked_after = [], False
    # The thread is there beforehand, and told by the one kind of queue that a signal handler may use.
    news = SimpleQueue[bool]()
    threading.Thread(target=_watch, args=(news,), daemon=True).start()

    def receive(number: int, frame: FrameType | None) -> None:
        first, again = not _now.signals, signal.SIGINT in _now.signals
        _now.signals.append(number)
        if first:
            news.put(True)
        if (first and not _now.looked_after) or (again and number == signal.SIGINT):
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
        news.put(False)
        _now.signals = []


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Promise to look at `asked` every few seconds while the block runs.

    Raises
    ------
    KeyboardInterrupt
        At the end of the block, where a signal came that nobody dealt with.
    """
    _now.looked_after = True
    try:
        yield
    finally:
        _now.looked_after = False
    end_if_asked()


def asked() -> bool:
    """Tell whether a signal has asked this process to end."""
    return bool(_now.signals)


def end_if_asked() -> None:
    """Raise KeyboardInterrupt where a signal has asked this process to end."""
    if asked():
        raise KeyboardInterrupt


def _watch(news: SimpleQueue[bool]) -> None:
    """Wait for a signal, and then for the end of `handled`, but not for long."""
    if news.get():
        try:
            news.get(timeout=PATIENCE)
        except Empty:
            _end()


def _end() -> None:
    """End the process, and those that it started, in the middle of whatever they do."""
    os.write(2, f"committee: {SENTENCE}\n".encode())
    if "multiprocessing" in sys.modules:
        for child in sys.modules["multiprocessing"].active_children():
            child.kill()
    os._exit(EXIT_CODE)
