"""Distribution of tasks among threads and processes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Task = TypeVar("Task", bound=Hashable)


@dataclass
class _Group(Generic[Task]):
    """Tasks of one group that are not finished."""

    waiting: list[Task]
    running: set[Task] = field(default_factory=set)

    @property
    def is_finished(self) -> bool:
        """Whether no task is waiting or running."""
        return not self.waiting and not self.running


class Scheduler(Generic[Task]):
    """Hands out tasks in their order, each as soon as the tasks that it needs are finished.

    Any number of threads take tasks with `take` and return results with `put`. The thread that owns the
    scheduler does tasks in `run`, and learns there which groups are finished.

    Parameters
    ----------
    groups : sequence of sequences of tasks
        All tasks are different. If the result of a task is an Exception, the tasks of its group that have not
        been started are dropped.
    needs : callable, optional
        From a task to the tasks of its group that must be finished before. By default, there are none.
    refuse : callable, optional
        From a task that could be started, and all tasks of its group that have not been started, to an
        Exception if it must not be, which becomes its result, or to None. It is called by one thread at a
        time.

    Attributes
    ----------
    results : dict
        Result of each finished task.

    See Also
    --------
    committee.executors.shared.pool.WorkerPool : Processes that take tasks from a scheduler.

    Examples
    --------
    >>> from committee.executors.shared.scheduler import Scheduler
    >>> scheduler = Scheduler([["a", "b"], ["c"]])
    >>> for group in scheduler.run(str.upper):
    ...     print("group", group, "is finished")
    group 0 is finished
    group 1 is finished
    >>> scheduler.results
    {'a': 'A', 'b': 'B', 'c': 'C'}
    """

    def __init__(
        self,
        groups: Sequence[Sequence[Task]],
        needs: Callable[[Task], Collection[Task]] = lambda task: (),
        refuse: Callable[[Task, Sequence[Task]], Exception | None] = lambda task, waiting: None,
    ) -> None:
        self.results: dict[Task, Any] = {}
        self._groups = [_Group(list(tasks)) for tasks in groups]
        self._group_of = {task: group for group in self._groups for task in group.waiting}
        self._unfinished = list(range(len(groups)))
        self._needs, self._refuse = needs, refuse
        self._change = threading.Condition()
        self._closed = False

    def run(self, do: Callable[[Task], Any]) -> Iterator[int]:
        """Do tasks in this thread until all are finished; yield the index of each group once it is finished.

        Parameters
        ----------
        do : callable
            From a task to its result.
        """
        while (found := self._task_or_group()) is not None:
            task, group = found
            if task is None:
                yield group
            else:
                self.put(task, do(task))

    def take_now(self) -> Task | None:
        """Return the next task that is ready, or None, without waiting."""
        with self._change:
            return None if self._closed else self._next()

    def finished(self) -> list[int]:
        """Return the indices of groups that are finished, each once."""
        with self._change:
            found = [index for index in self._unfinished if self._groups[index].is_finished]
            self._unfinished = [index for index in self._unfinished if index not in found]
            return found

    @property
    def is_over(self) -> bool:
        """Whether all groups are finished, or no more tasks are handed out."""
        return self._closed or not self._unfinished

    def take(self) -> Task | None:
        """Return the next task, waiting until one is ready; None if no task is left to start."""
        with self._change:
            while not self._closed and any(group.waiting for group in self._groups):
                if (task := self._next()) is not None:
                    return task
                self._wait()
        return None

    def put(self, task: Task, result: Any) -> None:
        """Store the result of a task that was taken."""
        with self._change:
            group = self._group_of[task]
            group.running.remove(task)
            self.results[task] = result
            if isinstance(result, Exception):
                group.waiting.clear()
            self._change.notify_all()

    def put_back(self, task: Task) -> None:
        """Return an unfinished task, so that it is handed out again."""
        with self._change:
            group = self._group_of[task]
            group.running.remove(task)
            group.waiting.insert(0, task)
            self._change.notify_all()

    def close(self) -> None:
        """Hand out no more tasks."""
        with self._change:
            self._closed = True
            self._change.notify_all()

    def _task_or_group(self) -> tuple[Task | None, int] | None:
        """Return the next task, or None with the index of a finished group; None at the end."""
        with self._change:
            while self._unfinished and not self._closed:
                for index in self._unfinished:
                    group = self._groups[index]
                    if (task := self._start(group)) is not None:
                        return task, index
                    if group.is_finished:
                        self._unfinished.remove(index)
                        return None, index
                self._wait()
        return None

    def _next(self) -> Task | None:
        """Start the next task that is ready; return None if there is none."""
        started = (self._start(group) for group in self._groups)
        return next((task for task in started if task is not None), None)

    def _start(self, group: _Group[Task]) -> Task | None:
        """Move the first task of a group whose needs are finished from waiting to running.

        If it is refused, the tasks of its group that have not been started are dropped.
        """
        for task in group.waiting:
            if all(each in self.results for each in self._needs(task)):
                if (reason := self._refuse(task, group.waiting)) is not None:
                    self.results[task] = reason
                    group.waiting.clear()
                    self._change.notify_all()
                    return None
                group.waiting.remove(task)
                group.running.add(task)
                return task
        return None

    def _wait(self) -> None:
        """Wait for a change, but not without a limit: Windows cannot interrupt that."""
        self._change.wait(0.5)
