"""Handling of SIGINT and SIGTERM: a fit ends its batch and saves its state; other code stops immediately."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
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
        self.deferrals, self.is_watched = 0, False
        self._lock = threading.Lock()

    def defer(self, change: int) -> None:
        """Count blocks that defer signals, of any thread."""
        with self._lock:
            self.deferrals += change


_state = _State()


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into KeyboardInterrupt while the block runs, as the command line does.

    Inside `deferred`, the first signal only makes `requested` true; a second SIGINT raises immediately. In
    any case the process ends with code 130 within ten seconds, also during one long call of native code; the
    store stays intact, as after a kill. Outside the main thread, and for signals that the parent process
    ignores, the block has no effect.

    Notes
    -----
    Python runs a signal handler between two bytecodes, so not before a native call returns. The interpreter
    also writes the number of the signal to a socket (`signal.set_wakeup_fd`) at once, which a thread reads.
    A native call that does not release the global interpreter lock stops that thread, too.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.signals = []
    before = {each: signal.getsignal(each) for each in _SIGNALS}
    before = {each: handler for each, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    with _watched(set(before)):
        for each in before:
            signal.signal(each, _receive)
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)
            _state.signals = []


def _receive(number: int, frame: FrameType | None) -> None:
    """Note a signal, and raise KeyboardInterrupt unless running code checks for it."""
    is_first, is_repeated = not _state.signals, signal.SIGINT in _state.signals
    _state.signals.append(number)
    if (is_first and not _state.deferrals) or (is_repeated and number == signal.SIGINT):
        raise KeyboardInterrupt


@contextlib.contextmanager
def _watched(numbers: set[int]) -> Iterator[None]:
    """End the process some seconds after one of these signals, unless the block ends before."""
    # Windows needs a socket here, not a pipe.
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    previous = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(target=_watch, args=(reader, numbers), daemon=True)
    thread.start()
    _state.is_watched = True
    try:
        yield
    finally:
        if _state.is_watched:  # not in a forked process, which has a copy of the socket
            _state.is_watched = False
            signal.set_wakeup_fd(previous)
            writer.shutdown(socket.SHUT_WR)
            thread.join()
        writer.close()


@contextlib.contextmanager
def unwatched() -> Iterator[None]:
    """Run a block that handles signals itself, such as a server, which may take longer to end.

    Inside `handled`, the process would otherwise end nine seconds after a signal.
    """
    if not _state.is_watched or threading.current_thread() is not threading.main_thread():
        yield
        return
    writer = signal.set_wakeup_fd(-1)
    try:
        yield
    finally:
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Defer signals while the block runs; the block must check `requested` every few seconds.

    Blocks of several fits may overlap in any order: signals are deferred until the last of them ends.

    Raises
    ------
    KeyboardInterrupt
        At the end of the block, if a signal was received.
    """
    _state.defer(1)
    try:
        yield
    finally:
        _state.defer(-1)
    raise_if_requested()


def requested() -> bool:
    """Return whether a signal has requested the end of this process."""
    return bool(_state.signals)


def raise_if_requested() -> None:
    """Raise KeyboardInterrupt if a signal has requested the end of this process."""
    if requested():
        raise KeyboardInterrupt


def _watch(reader: socket.socket, numbers: set[int]) -> None:
    """Wait for a signal, then end the process unless the other end of the socket is closed in time."""
    with reader:
        while received := reader.recv(64):
            if numbers.intersection(received):
                deadline = time.monotonic() + PATIENCE
                if not _is_closed_before(deadline, reader):
                    _end()
                return


def _stop_watching() -> None:
    """Stop reporting the signals of a forked process to its parent."""
    if _state.is_watched:
        _state.is_watched = False
        signal.set_wakeup_fd(-1)


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_stop_watching)


def _is_closed_before(deadline: float, reader: socket.socket) -> bool:
    """Return whether the other end of a socket is closed before a time of the monotonic clock."""
    while (left := deadline - time.monotonic()) > 0:
        reader.settimeout(left)
        with contextlib.suppress(TimeoutError):
            if not reader.recv(64):  # Further signals change nothing.
                return True
    return False


def _end() -> None:
    """End the process and its child processes immediately."""
    os.write(2, f"committee: {SENTENCE}\n".encode())
    if "multiprocessing" in sys.modules:
        for child in sys.modules["multiprocessing"].active_children():
            child.kill()
    os._exit(EXIT_CODE)
