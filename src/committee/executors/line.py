"""Tasks that do not need each other, done several at once."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence
from typing import Any, TypeVar

import torch

from committee.base.progress import bar
from committee.executors.crew import Crew, Work
from committee.executors.division import Workers, divide

Task = TypeVar("Task", bound=Hashable)


class Line:
    """Deals tasks in their order, and gathers what they come to."""

    def __init__(self, tasks: Sequence[Any]) -> None:
        self._waiting, self._running = list(tasks), set[Any]()
        self.results: dict[Any, Any] = {}
        self._change = threading.Condition()

    def take(self) -> Any:
        """Return the next task, or None."""
        with self._change:
            if not self._waiting:
                return None
            task = self._waiting.pop(0)
            self._running.add(task)
            return task

    def put(self, task: Any, result: Any) -> None:
        """Keep what a task came to."""
        with self._change:
            self._running.remove(task)
            self.results[task] = result
            self._change.notify_all()

    def put_back(self, task: Any) -> None:
        """Deal a task again."""
        with self._change:
            self._running.remove(task)
            self._waiting.append(task)
            self._change.notify_all()

    def close(self) -> None:
        """Deal nothing more."""
        with self._change:
            self._waiting.clear()

    def take_or_wait(self) -> Any:
        """Return the next task; None when all are done, also those of others."""
        while (task := self.take()) is None:
            with self._change:
                if not self._running:
                    return None
                # Not for ever: Windows cannot interrupt that.
                self._change.wait(0.5)
        return task


def do_all(work: Work, tasks: Sequence[Task], workers: Workers, what: str) -> dict[Task, Any]:
    """Do tasks on the CPU, each once, in this process and in others beside it; return what each came to.

    Parameters
    ----------
    work : Work
        What it returns for a task goes from process to process.
    tasks : sequence
        Each different.
    workers : int or "auto"
        See `divide`.
    what : str
        The words before the progress bar.
    """
    line, division = Line(tasks), divide(workers, len(tasks), torch.device("cpu"))
    crew = Crew(line, work, division.workers - 1, division.threads, at_once=workers != "auto")
    with bar(len(tasks), what) as step, division.threads_set(), crew:
        while (task := line.take_or_wait()) is not None:
            line.put(task, work.do(task))
            step(1)
    return {task: line.results[task] for task in tasks}
