"""Processes beside this one that do tasks of the same run; a thread here speaks to each."""

from __future__ import annotations

import contextlib
import logging
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Protocol

from committee.base import interrupt, progress
from committee.errors import CommitteeError
from committee.executors.helper import STOP, Setup

START_SECONDS = 6.0
"""About what a helper takes before it is of use: it imports torch and timm."""

LEAVE_SECONDS = 7.0
"""For a batch to end and a state to be kept: less than `interrupt` gives this process."""

HELPER = "from committee.executors.helper import main; main()"
log = logging.getLogger(__name__)


class Work(Protocol):
    """How tasks are done. It goes to each process, pickled."""

    def do(self, task: Any) -> Any:
        """Do a task; return what it comes to, a failure too."""

    def name(self, task: Any) -> str:
        """Return what people call a task."""


class Board(Protocol):
    """Where tasks are dealt, to any thread."""

    def take(self) -> Any:
        """Return a task, as soon as there is one; None when there will be none."""

    def put(self, task: Any, result: Any) -> None:
        """Take in what a task came to."""

    def put_back(self, task: Any) -> None:
        """Take in that nobody does a task after all."""

    def close(self) -> None:
        """Deal nothing more."""


class Crew:
    """Helpers that take tasks from a board while the block runs.

    A task whose process dies is tried once more in another one; what it comes to then is a `CommitteeError`.
    `images.workers` does so for single images, and differs in all else: its processes know no torch and start
    in a tenth of a second, answer in bytes, have a time limit, and keep nothing when they are ended.

    Parameters
    ----------
    board : Board
    work : Work
    count, threads : int
        How many helpers, and the threads of each.
    at_once : bool
        Whether they start now. Else they start when the run has taken as long as their start will take: so a
        short run pays nothing, and a long one loses seconds.

    Notes
    -----
    Helpers may write to a store that this process holds: they end at once when this process does.
    """

    def __init__(self, board: Board, work: Work, count: int, threads: int, *, at_once: bool) -> None:
        self._board, self._work, self._threads = board, work, threads
        self._delay = 0.0 if at_once else START_SECONDS
        self._over = threading.Event()
        self._helpers: list[_Helper] = []
        self._serving = [threading.Thread(target=self._serve, daemon=True) for _ in range(count)]

    def __enter__(self) -> Crew:
        for thread in self._serving:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._board.close()
        for helper in list(self._helpers):
            helper.leave()
        for thread in self._serving:
            thread.join(LEAVE_SECONDS)
        for helper in list(self._helpers):
            helper.kill()

    def _serve(self) -> None:
        """Start a helper, and carry tasks to it until none is left."""
        task: Any = None
        deaths = 0
        self._over.wait(self._delay)
        while not self._over.is_set():
            try:
                with self._helper() as helper:
                    while (task := self._board.take() if task is None else task) is not None:
                        self._board.put(task, helper.do(task))
                        task, deaths = None, 0
                    return
            except _Gone as gone:
                if task is None or gone.asked or interrupt.requested() or self._over.is_set():
                    log.debug("a helper is gone: %s", gone)
                    break
                deaths += 1
                log.warning("%s: its process ended (%s)", self._work.name(task), gone)
                if deaths == 2:
                    self._board.put(task, self._give_up(task, gone))
                    task, deaths = None, 0
        if task is not None:
            self._board.put_back(task)

    @contextlib.contextmanager
    def _helper(self) -> Iterator[_Helper]:
        try:
            helper = _Helper(self._threads)
        except OSError as error:
            raise _Gone(f"none starts: {error.strerror or error}") from error
        self._helpers.append(helper)
        try:
            # Looked at again: `__exit__` may have gone through the helpers before this one was among them.
            if self._over.is_set():
                raise _Gone("not needed any more", asked=True)
            helper.start(self._work)
            yield helper
        finally:
            self._helpers.remove(helper)
            helper.close()

    def _give_up(self, task: Any, gone: _Gone) -> CommitteeError:
        return CommitteeError(
            self._work.name(task),
            expected="a process that does it",
            got=f"two that ended ({gone})",
            todo="Memory may be short: set workers=1, or a smaller batch_size.",
        )


class _Gone(Exception):
    """A helper has ended; `asked` where a signal asked it to."""

    def __init__(self, why: str, asked: bool = False) -> None:
        super().__init__(why)
        self.asked = asked


class _Helper:
    """One process, seen from here."""

    def __init__(self, threads: int) -> None:
        # Not multiprocessing: it would run the user's script again, which need not be made for that.
        self._process = subprocess.Popen(
            [sys.executable, "-c", HELPER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._lock, self._busy = threading.Lock(), False
        level = logging.getLogger("committee").getEffectiveLevel()
        self._setup = Setup(list(sys.path), level, progress.watched(), threads)

    def start(self, work: Work) -> None:
        """Hand over the work; wait until it is ready."""
        self._say(self._setup)
        self._say(pickle.dumps(work))
        self._answer()

    def do(self, task: Any) -> Any:
        """Have a task done; return what it comes to."""
        self._busy = True
        self._say(task)
        result = self._answer()
        self._busy = False
        return result

    def leave(self) -> None:
        """End it; a task in progress may first keep its state."""
        if self._busy:
            with contextlib.suppress(_Gone):
                self._say(STOP)
        else:
            self.kill()

    def kill(self) -> None:
        """End it now."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """End it now, and nobody will speak to it."""
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):
                pipe.close()

    def _say(self, message: object) -> None:
        assert self._process.stdin is not None
        try:
            with self._lock:
                pickle.dump(message, self._process.stdin)
                self._process.stdin.flush()
        except OSError:
            raise self._gone() from None

    def _answer(self) -> Any:
        """Return what it comes to, and pass on meanwhile what it tells of its progress."""
        step: progress.Step = progress.silent
        with contextlib.ExitStack() as bars:
            while True:
                what, value = self._hear()
                if what == "log":
                    logging.getLogger(value.name).handle(value)
                elif what == "bar":
                    step = bars.enter_context(progress.bar(*value))
                elif what == "step":
                    step(*value)
                elif what == "end":
                    bars.close()
                elif what == "interrupted":
                    raise _Gone("interrupted", asked=True)
                else:
                    return value

    def _hear(self) -> Any:
        assert self._process.stdout is not None
        try:
            # From our own process, through a pipe that nobody else has.
            return pickle.load(self._process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError):
            raise self._gone() from None

    def _gone(self) -> _Gone:
        code = self._process.wait()
        return _Gone(f"signal {-code}" if code < 0 else f"exit code {code}")
