"""The fits that Ray makes for a run, as the driver sees them."""

from __future__ import annotations

import contextlib
import logging
import math
import pickle
from collections.abc import Hashable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from committee.base import events
from committee.errors import CommitteeError
from committee.executors._ray_desk import THREADS, Desk
from committee.executors._ray_node import make
from committee.executors._ray_task import Answer, Content, Order
from committee.executors._relocated import dump
from committee.executors.shared.attempt import attempt
from committee.executors.shared.work import StoredWork
from committee.store.commit import replacing_folder
from committee.store.copies import fetch
from committee.store.manifest import digest, read_manifest

WAIT_SECONDS = 0.5
STOP_SECONDS = 7.0
"""Time for batches to end and states to arrive: less than `interrupt` gives this process."""
PACKED_SECONDS = 1.0
"""Time to which short fits are packed into a task of Ray: what a lost process costs them at most.

The task itself costs some milliseconds (`benchmarks/ray_overhead.py` shows no difference to 3 seconds)."""
MOST = 16
"""Largest number of fits in a task."""
CONTEXT = 0.02
"""Share of a GPU that a process takes beside its tensors."""

log = logging.getLogger(__name__)


class Flight:
    """Sends tasks to Ray, and stores what they return.

    Parameters
    ----------
    ray : module
        Connected to a cluster.
    work : StoredWork
    root : Path
        Folder of the outermost store: paths of the work that are in it exist on nodes.
    wanted : dict
        What a node must have, see `differences`.
    threads : int
        Threads of a fit, and CPUs that it takes.
    gpus : float
        GPUs that a fit takes; `share` says whether less is taken once its memory is known.
    share : bool
    retries : int
        How often Ray repeats a task whose process or node was lost.
    """

    def __init__(
        self,
        ray: Any,
        work: StoredWork,
        root: Path,
        wanted: dict[str, Any],
        *,
        threads: int,
        gpus: float,
        share: bool,
        retries: int,
    ) -> None:
        self.ray, self.work, self.root, self.wanted = ray, work, root, wanted
        self.threads, self.gpus, self.share, self.retries = threads, gpus, share, retries
        content = dump(work, root)
        self._edition = digest(content.hex())
        self._content = ray.put(content)
        here = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=False
        )
        options = {"num_cpus": 0, "max_concurrency": THREADS, "max_restarts": -1, "max_task_retries": -1}
        self._desk = ray.remote(Desk).options(**options, scheduling_strategy=here).remote(str(root))
        self._messages = self._listen()
        self._make = ray.remote(make)
        self._flying: dict[Any, tuple[Any, ...]] = {}
        self._waiting: list[Any] = []
        self._alone: set[Any] = set()
        self._avoided: list[str] = []
        self._seconds: dict[Hashable, float] = {}
        self._shares: dict[Hashable, float] = {}

    def __enter__(self) -> Flight:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None:
            self._stop()
        self.ray.kill(self._desk)

    def room(self, slots: int) -> bool:
        """Return whether more tasks can be sent, so that each slot has a task and another one waiting."""
        return self.count < 2 * slots * max(map(self._pack, self._seconds), default=1)

    @property
    def least_gpus(self) -> float:
        """GPUs that the smallest fits take."""
        return min(self._shares.values(), default=self.gpus) if self.share else self.gpus

    @property
    def count(self) -> int:
        """Number of tasks that are not finished."""
        return len(self._waiting) + sum(map(len, self._flying.values()))

    def add(self, task: Any) -> None:
        """Take a task, which `launch` sends."""
        self._waiting.append(task)

    def launch(self, slots: int) -> None:
        """Send all tasks that were added; short ones of one kind together."""
        alike: dict[object, list[Any]] = {}
        for task in self._waiting:
            alike.setdefault(task if task in self._alone else self.work.alike(task), []).append(task)
        self._waiting = []
        for kind, tasks in alike.items():
            size = min(self._pack(kind), math.ceil(len(tasks) / slots))
            for start in range(0, len(tasks), size):
                self._send(tasks[start : start + size])

    def _pack(self, kind: object) -> int:
        """Return how many fits of a kind are one task."""
        seconds = self._seconds.get(kind, PACKED_SECONDS)
        return max(1, min(MOST, math.floor(PACKED_SECONDS / max(seconds, 1e-3))))

    def _send(self, tasks: Sequence[Any]) -> None:
        gpus = self._shares.get(self.work.alike(tasks[0]), self.gpus) if self.share else self.gpus
        level = logging.getLogger("committee").getEffectiveLevel()
        name = digest(str(self.root.resolve()))[:16]
        order = Order(tuple(tasks), name, self._edition, self.threads, level, gpus > 0)
        options: dict[str, Any] = {"num_cpus": self.threads, "num_gpus": gpus, "max_retries": self.retries}
        if self._avoided:
            options["label_selector"] = {"ray.io/node-id": f"!in({','.join(self._avoided)})"}
        call = self._make.options(name=self.work.name(tasks[0]), **options)
        found = call.remote(self.wanted, pickle.dumps(order), self._content, self._desk)
        self._flying[found] = tuple(tasks)

    def wait(self) -> list[tuple[Any, Any]]:
        """Return tasks that were finished within half a second, with their results."""
        ready, _ = self.ray.wait([self._messages, *self._flying], num_returns=1, timeout=WAIT_SECONDS)
        if self._messages in ready:
            self._hear()
        done = [each for each in ready if each in self._flying]
        return [pair for each in done for pair in self._received(self._flying.pop(each), each)]

    def _listen(self) -> Any:
        return self._desk.take.options(max_task_retries=0).remote(WAIT_SECONDS)

    def _hear(self) -> None:
        """Pass on log records and events of nodes, and fetch what they ask for and this machine lacks."""
        found = attempt(lambda: self.ray.get(self._messages))
        self._messages = self._listen()
        for kind, value in [] if isinstance(found, Exception) else found:
            if kind == "log":
                logging.getLogger(value.name).handle(value)
            elif kind == "missing":
                fetch(self.root / value)
                self._desk.fetched.remote(value)
            else:
                events.emit(value)

    def _received(self, tasks: Sequence[Any], reference: Any) -> list[tuple[Any, Any]]:
        try:
            found = self.ray.get(reference)
        except self.ray.exceptions.RayError as error:
            return self._lost(tasks, error)
        if isinstance(found, Answer):
            self._waiting += tasks[len(found.results) :]  # if a signal has stopped their process
            return self._stored(tasks, found)
        node, lacking = found
        self._avoid(node, lacking)
        self._waiting += tasks
        return []

    def _avoid(self, node: str, lacking: Sequence[str]) -> None:
        """Send no more tasks to a node that joined during the run and lacks something.

        Raises
        ------
        CommitteeError
            No other node is left that has the CPUs of a fit.
        """
        nodes = [each for each in self.ray.nodes() if each["Alive"]]
        able = [each for each in nodes if each["Resources"].get("CPU", 0) >= self.threads]
        there = {each["NodeID"]: each["NodeManagerAddress"] for each in able}
        where, what = there.get(node, node), "; ".join(lacking)
        if node not in self._avoided:
            log.warning("%s: %s; it makes no fits of this run", where, what)
            self._avoided.append(node)
        if there.keys() <= set(self._avoided):
            raise CommitteeError(
                "executor ray",
                expected="a node with what this process has",
                got=f"none: {where}: {what}",
                todo="Install the same versions on all nodes, and run the same command again.",
            )

    def _lost(self, tasks: Sequence[Any], error: Exception) -> list[tuple[Any, Any]]:
        """Send the tasks one by one, if several were sent; return the reason why a single one was lost."""
        cause = getattr(error, "cause", None)
        if len(tasks) > 1 and cause is None:
            self._alone |= set(tasks)
            self._waiting += tasks
            return []
        if isinstance(cause, Exception):
            return [(task, cause) for task in tasks]
        why = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        lost = CommitteeError(
            self.work.name(tasks[0]),
            expected="a worker of Ray that finishes it",
            got=f"{self.retries + 1} that ended ({why})",
            todo="If memory is short, set a smaller batch_size, or a larger executor.cpus.",
        )
        return [(tasks[0], lost)]

    def _stored(self, tasks: Sequence[Any], answer: Answer) -> list[tuple[Any, Any]]:
        """Commit what tasks wrote, and the states of those that were stopped; these may have no result."""
        results = []
        for task, result, seconds in zip(tasks, answer.results, answer.seconds, strict=False):
            kind = self.work.alike(task)
            # The first fit of a process takes seconds longer, for its imports: less time counts at once.
            self._seconds[kind] = min(seconds, (self._seconds.get(kind, seconds) + seconds) / 2)
            if answer.memory:
                self._shares[kind] = share_of_gpu(answer.memory)
            error = attempt(partial(self._keep, task, answer.folders))
            results.append((task, error if isinstance(error, Exception) else result))
        for place, content in answer.states.items():
            error = attempt(partial(put, self.root / place, content))
            if isinstance(error, Exception):
                log.warning("%s: the state of the fit was not stored: %s", place, error)
        return results

    def _keep(self, task: Any, contents: Mapping[str, Content]) -> None:
        for folder in self.work.folders(task):
            place = folder.absolute().relative_to(self.root.absolute()).as_posix()
            if place in contents:
                put(folder, contents[place])
        self.work.received(task)

    def _stop(self) -> None:
        """Stop all fits, and store the states that arrive in time."""
        flying = list(self._flying)
        for each in flying:
            self.ray.cancel(each, force=False)
        if not flying:
            return
        ready, _ = self.ray.wait(flying, num_returns=len(flying), timeout=STOP_SECONDS)
        for each in ready:
            # What Ray had not started yet raises the error of a task that was canceled.
            with contextlib.suppress(self.ray.exceptions.RayError):
                if isinstance(found := self.ray.get(each), Answer):
                    self._stored(self._flying[each], found)


def put(folder: Path, content: Content) -> None:
    """Write a stored folder whose content has come from another machine, and verify it first."""
    with replacing_folder(folder) as new:
        for name, values in content.items():
            path = new / name
            path.parent.mkdir(parents=True, exist_ok=True)
            np.asarray(values).tofile(path)
        read_manifest(new)


def share_of_gpu(memory: float) -> float:
    """Return the share of a GPU of a fit that needs a share of its memory: one that fills it evenly.

    Examples
    --------
    >>> from committee.executors._ray_flight import share_of_gpu
    >>> share_of_gpu(0.3), share_of_gpu(0.9)
    (0.3333333333333333, 1.0)
    """
    return 1 / max(1, math.floor(1 / (memory + CONTEXT)))
