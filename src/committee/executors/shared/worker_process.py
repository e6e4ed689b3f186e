"""One worker process, as the process that started it sees it."""

from __future__ import annotations

import contextlib
import logging
import pickle
import subprocess
import sys
import threading
import time
from typing import Any

from committee.base import events, progress
from committee.executors.shared.worker import STOP, Setup

PROGRAM = "from committee.executors.shared.worker import main; main()"


class WorkerEnded(Exception):
    """A worker process has ended.

    Parameters
    ----------
    why : str
    asked : bool
        Whether a signal, or the pool, asked it to end.
    """

    def __init__(self, why: str, asked: bool = False) -> None:
        super().__init__(why)
        self.asked = asked


class WorkerProcess:
    """A worker process, and the exchange of messages with it.

    Parameters
    ----------
    threads : int
        Threads of an operation of torch.

    Attributes
    ----------
    task : object
        The task that it does; None between tasks.

    Raises
    ------
    OSError
        No process can be started.

    See Also
    --------
    committee.executors.shared.worker.main : The program of the process.
    """

    task: Any = None

    def __init__(self, threads: int) -> None:
        # Not multiprocessing, which would run the user's script again.
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._lock = threading.Lock()
        self._heard, self._why = time.monotonic(), ""
        level = logging.getLogger("committee").getEffectiveLevel()
        self._setup = Setup(list(sys.path), level, progress.watched(), threads)

    def start(self, work: Any) -> None:
        """Send the work, and wait until the process is ready."""
        self._send(self._setup)
        self._send(pickle.dumps(work))
        self._result()

    def do(self, task: Any) -> Any:
        """Have a task done, and return its result.

        Raises
        ------
        WorkerEnded
            The process ended before the task was done.
        """
        self._heard, self.task = time.monotonic(), task
        self._send(task)
        result = self._result()
        self.task = None
        return result

    def stop(self) -> None:
        """End the process; a fit in progress may first store its state."""
        if self.task is not None:
            with contextlib.suppress(WorkerEnded):
                self._send(STOP)
        else:
            self.kill()

    def silent(self) -> float:
        """Return the seconds since the last sign of progress in a task; 0 between tasks."""
        return 0.0 if self.task is None else time.monotonic() - self._heard

    def end(self, why: str) -> None:
        """End the process at once, for a reason that `WorkerEnded` has."""
        self._why = why
        self._process.kill()

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End the process at once, and close its pipes."""
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()

    def _send(self, message: object) -> None:
        assert self._process.stdin is not None
        try:
            with self._lock:
                pickle.dump(message, self._process.stdin)
                self._process.stdin.flush()
        except OSError:
            raise self._ended() from None

    def _result(self) -> Any:
        """Return the next result; meanwhile, pass on log records, events and progress."""
        steps: dict[int, progress.Step] = {}
        ends: dict[int, contextlib.ExitStack] = {}
        with contextlib.ExitStack() as bars:
            while True:
                kind, value = self._receive()
                if kind == "log":
                    logging.getLogger(value.name).handle(value)
                elif kind == "bar":
                    number, *text = value
                    ends[number] = bars.enter_context(contextlib.ExitStack())
                    steps[number] = ends[number].enter_context(progress.bar(*text))
                elif kind == "step":
                    steps[value[0]](*value[1:])
                elif kind == "end":
                    ends[value].close()
                elif kind == "event":
                    events.emit(value)
                elif kind == "alive":
                    continue
                elif kind == "interrupted":
                    raise WorkerEnded("interrupted", asked=True)
                else:
                    return value

    def _receive(self) -> Any:
        assert self._process.stdout is not None
        try:
            # From a process of our own, through a pipe that no other process has.
            message = pickle.load(self._process.stdout)
            self._heard = time.monotonic()
            return message
        except (EOFError, OSError, pickle.UnpicklingError):
            raise self._ended() from None

    def _ended(self) -> WorkerEnded:
        code = self._process.wait()
        if self._why:
            return WorkerEnded(self._why)
        return WorkerEnded(f"signal {-code}" if code < 0 else f"exit code {code}")
