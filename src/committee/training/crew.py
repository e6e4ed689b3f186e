"""Processes beside this one that make fits of the same run; a thread here speaks to each."""

from __future__ import annotations

import contextlib
import logging
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

from committee import interrupt, progress
from committee.errors import TrainingError
from committee.store.layout import Store
from committee.training.board import Board, Task
from committee.training.helper import STOP, Setup
from committee.training.plans._base import Plan

START_SECONDS = 6.0
"""About what a helper takes before it is of use: it imports torch and timm."""

LEAVE_SECONDS = 7.0
"""For a batch to end and a state to be kept: less than `interrupt` gives this process."""

HELPER = "from committee.training.helper import main; main()"
log = logging.getLogger(__name__)


class Crew:
    """Helpers that take fits from a board while the block runs.

    A fit whose helper dies is tried once more by another, from the state that it had kept.

    Parameters
    ----------
    board : Board
    plans : sequence of Plan
        Those of the board.
    store : Store
        Held by this process. Helpers write to it too; they end at once when this process does.
    count, threads : int
        How many helpers, and the threads of each.
    at_once : bool
        Whether they start now. Else they start when the run has taken as long as their start will take: so a
        short run pays nothing, and a long one loses seconds.
    """

    def __init__(
        self,
        board: Board,
        plans: Sequence[Plan],
        store: Store,
        count: int,
        threads: int,
        *,
        at_once: bool,
    ) -> None:
        self._board, self._work, self._threads = board, (list(plans), store), threads
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
        """Start a helper, and carry fits to it until none is left."""
        task: Task | None = None
        deaths = 0
        self._over.wait(self._delay)
        while not self._over.is_set():
            try:
                with self._helper() as helper:
                    while (task := task or self._board.take()) is not None:
                        self._board.put(task, helper.make(task))
                        task, deaths = None, 0
                    return
            except _Gone as gone:
                if task is None or gone.asked or interrupt.asked() or self._over.is_set():
                    log.debug("a helper is gone: %s", gone)
                    break
                deaths += 1
                log.warning("%s: its process ended (%s)", self._name(task), gone)
                if deaths == 2:
                    self._board.put(task, self._give_up(task, gone))
                    task, deaths = None, 0
        if task is not None:
            self._board.put_back(task)

    @contextlib.contextmanager
    def _helper(self) -> Iterator[_Helper]:
        helper = _Helper(self._threads)
        self._helpers.append(helper)
        try:
            if not self._over.is_set():
                helper.start(self._work)
                yield helper
        finally:
            self._helpers.remove(helper)
            helper.close()

    def _name(self, task: Task) -> str:
        return f"{self._work[0][task.member].name}/{task.name}"

    def _give_up(self, task: Task, gone: _Gone) -> TrainingError:
        return TrainingError(
            self._name(task), expected="a process that makes the fit", got=f"two that ended ({gone})",
            todo="Memory may be short: set training.workers=1, or a smaller batch_size.",
        )  # fmt: skip


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

    def start(self, work: tuple[list[Plan], Store]) -> None:
        """Hand over what all fits need; wait until it is ready."""
        self._say(self._setup)
        self._say(pickle.dumps(work))
        self._answer()

    def make(self, task: Task) -> Exception | None:
        """Have a fit made; return why it cannot be."""
        self._busy = True
        self._say(task)
        error: Exception | None = self._answer()
        self._busy = False
        return error

    def leave(self) -> None:
        """End it: a fit in progress first keeps its state."""
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
        step: progress.Step = lambda steps: None  # noqa: E731
        with contextlib.ExitStack() as bars:
            while True:
                what, value = self._hear()
                if what == "log":
                    logging.getLogger(value.name).handle(value)
                elif what == "bar":
                    step = bars.enter_context(progress.bar(*value))
                elif what == "step":
                    step(value)
                elif what == "end":
                    bars.close()
                elif what == "interrupted":
                    raise _Gone("interrupted", asked=True)
                else:
                    return value

    def _hear(self) -> Any:
        assert self._process.stdout is not None
        try:
            return pickle.load(self._process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError):
            raise self._gone() from None

    def _gone(self) -> _Gone:
        code = self._process.wait()
        return _Gone(f"signal {-code}" if code < 0 else f"exit code {code}")
