"""Pool of worker processes that do tasks of the same run; one thread of this process serves each."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Hashable, Iterator
from types import TracebackType
from typing import Any

from committee.base import interrupt
from committee.base.text import duration
from committee.errors import CommitteeError
from committee.executors.shared.scheduler import Scheduler
from committee.executors.shared.work import Work
from committee.executors.shared.worker_process import WorkerEnded, WorkerProcess

START_SECONDS = 4.0
"""Approximate time until a worker is of use: it imports torch and timm."""

STOP_SECONDS = 7.0
"""Time for a batch to end and a state to be stored: less than `interrupt` gives this process."""

SILENT_SECONDS = 3600.0
"""Time without a sign of progress after which a worker is ended: an epoch reports each batch."""

QUIET_SECONDS = 300.0
"""Time without a sign of progress after which the log names a task."""

QUIET = "%s: no progress for %s; its worker process is ended, and it is repeated, after %s"

log = logging.getLogger(__name__)


class WorkerPool:
    """Worker processes that take tasks from a scheduler while the `with` block runs.

    A task whose process ends, or hangs for an hour, is repeated once in another process. If that ends too,
    the result of the task is a `CommitteeError`.

    Parameters
    ----------
    scheduler : Scheduler
    work : Work
    count : int
        Number of workers; 0 leaves all tasks to this process.
    threads : int
        Threads of each worker.
    at_once : bool
        Whether the workers start at once. Otherwise they start when the run has taken as long as their start
        takes, so that a short run costs nothing and a long one loses seconds.

    See Also
    --------
    committee.images.workers : Processes that decode images. They import no torch, start in a tenth of a
        second, answer in bytes and have a time limit.

    Notes
    -----
    Workers may write to a store that this process holds: they end at once when this process ends.

    Examples
    --------
    >>> from committee.executors.shared.scheduler import Scheduler
    >>> scheduler = Scheduler([["a"], ["b"]])
    >>> with WorkerPool(scheduler, work=None, count=0, threads=1, at_once=True):
    ...     finished = list(scheduler.run(str.upper))
    >>> scheduler.results
    {'a': 'A', 'b': 'B'}
    """

    def __init__(
        self, scheduler: Scheduler[Any], work: Work, count: int, threads: int, *, at_once: bool
    ) -> None:
        self._scheduler, self._work, self._threads = scheduler, work, threads
        self._delay = 0.0 if at_once else START_SECONDS
        self._over = threading.Event()
        self._workers: list[WorkerProcess] = []
        self._serving = [threading.Thread(target=self._serve, daemon=True) for _ in range(count)]

    def __enter__(self) -> WorkerPool:
        for thread in self._serving:
            thread.start()
        if self._serving:
            threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._scheduler.close()
        for worker in list(self._workers):
            worker.stop()
        for thread in self._serving:
            thread.join(STOP_SECONDS)
        for worker in list(self._workers):
            worker.kill()

    def _watch(self) -> None:
        """Name tasks without progress once, and end workers that hang, so that their tasks are repeated."""
        named = set[tuple[WorkerProcess, Hashable]]()
        while not self._over.wait(1.0):
            for worker in list(self._workers):
                silent, task = worker.silent(), worker.task
                if silent > QUIET_SECONDS and (worker, task) not in named:
                    named.add((worker, task))
                    log.warning(
                        QUIET, self._work.name(task), duration(silent / 3600), duration(SILENT_SECONDS / 3600)
                    )
                if silent > SILENT_SECONDS:
                    worker.end(f"no progress for {duration(SILENT_SECONDS / 3600)}")

    def _serve(self) -> None:
        """Start a worker, and pass tasks to it until none is left."""
        task: Any = None
        failures = 0
        self._over.wait(self._delay)
        while not self._over.is_set():
            try:
                with self._worker() as worker:
                    while (task := self._scheduler.take() if task is None else task) is not None:
                        self._scheduler.put(task, worker.do(task))
                        task, failures = None, 0
                    return
            except WorkerEnded as ended:
                if task is None or ended.asked or interrupt.requested() or self._over.is_set():
                    log.debug("a worker process ended: %s", ended)
                    break
                failures += 1
                log.warning("%s: its worker process ended (%s)", self._work.name(task), ended)
                if failures == 2:
                    self._scheduler.put(task, self._error(task, ended))
                    task, failures = None, 0
        if task is not None:
            self._scheduler.put_back(task)

    @contextlib.contextmanager
    def _worker(self) -> Iterator[WorkerProcess]:
        try:
            worker = WorkerProcess(self._threads)
        except OSError as error:
            raise WorkerEnded(f"none can be started: {error.strerror or error}") from error
        self._workers.append(worker)
        try:
            # Checked again, since `__exit__` may have stopped the workers before this one was listed.
            if self._over.is_set():
                raise WorkerEnded("no longer needed", asked=True)
            worker.start(self._work)
            yield worker
        finally:
            self._workers.remove(worker)
            worker.close()

    def _error(self, task: Any, ended: WorkerEnded) -> CommitteeError:
        return CommitteeError(
            self._work.name(task),
            expected="a worker process that finishes it",
            got=f"two that ended ({ended})",
            todo="If memory is short, set workers=1 or a smaller batch_size.",
        )
