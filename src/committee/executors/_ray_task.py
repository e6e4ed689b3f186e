"""A task of Ray: some fits, one after the other, in the working store of its node."""

from __future__ import annotations

import contextlib
import functools
import logging
import logging.handlers
import pickle
import queue
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from committee.base import events, interrupt
from committee.executors._ray_folders import working_store
from committee.executors._ray_mirror import LOCKS, Mirror, alone
from committee.executors._relocated import load
from committee.executors.shared.work import StoredWork
from committee.store.commit import remove
from committee.store.manifest import NAME, digest

Content = Mapping[str, NDArray[np.uint8]]
"""The files of a stored folder."""


@dataclass(frozen=True)
class Order:
    """What a task of Ray does.

    Attributes
    ----------
    tasks : sequence
        Tasks of the work.
    store : str
        Name of the working store, equal for runs with the same store.
    edition : str
        Digest of the pickled work.
    threads : int
    level : int
        Level of the log.
    on_gpu : bool
    """

    tasks: Sequence[Any]
    store: str
    edition: str
    threads: int
    level: int
    on_gpu: bool


@dataclass
class Answer:
    """What a task of Ray returns.

    Attributes
    ----------
    results : list
        Of the tasks that were done, in their order; fewer if a signal has stopped them.
    folders : dict
        Place in the store -> content, of what they wrote.
    states : dict
        The same of the states of tasks that a signal or the deadline has stopped.
    seconds : list of float
        Time of each task that was done.
    memory : float
        Share of the memory of the GPU that was used at most.
    """

    results: list[Any] = field(default_factory=list)
    folders: dict[str, Content] = field(default_factory=dict)
    states: dict[str, Content] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    memory: float = 0.0


def carry_out(order: bytes, work: bytes, desk: Any) -> Answer:
    """Do the tasks of a pickled order."""
    found: Order = pickle.loads(order)
    device = torch.device("cuda" if found.on_gpu else "cpu")
    folder, mark = working_store(found.store)
    mirror, answer = Mirror(folder, desk), Answer()
    with _forwarding(desk, found.level), contextlib.suppress(KeyboardInterrupt), interrupt.handled():
        torch.set_num_threads(found.threads)
        _start_measuring(device)
        own = _Loaded.of((found.edition, mark, str(device)), work, mirror, device)
        for task in found.tasks:
            _do(task, own, mirror, answer)
    answer.memory = _share_of_memory(device)
    return answer


class _Loaded:
    """The work that this process has loaded last."""

    key: tuple[str, ...] | None = None
    work: StoredWork

    @classmethod
    def of(cls, key: tuple[str, ...], content: bytes, mirror: Mirror, device: torch.device) -> StoredWork:
        if cls.key != key:
            cls.work, cls.key = load(content, mirror, device), key
        return cls.work


def _do(task: Any, work: StoredWork, mirror: Mirror, answer: Answer) -> None:
    start = time.perf_counter()
    folders, states = work.folders(task), work.states(task)
    with alone(mirror.root / LOCKS / digest([str(each) for each in folders])[:16]):
        try:
            answer.results.append(work.do(task))
        finally:
            answer.states |= _contents(states, mirror.root)
        answer.folders |= _contents(folders, mirror.root)
        for each in folders:
            remove(each)
    answer.seconds.append(time.perf_counter() - start)


def _contents(folders: Sequence[Path], root: Path) -> dict[str, Content]:
    """Return the stored folders at some places, and those below them."""
    manifests = [file for folder in folders for file in sorted(folder.glob(f"**/{NAME}"))]
    return {file.parent.relative_to(root).as_posix(): _content(file.parent) for file in manifests}


def _content(folder: Path) -> dict[str, NDArray[np.uint8]]:
    inner = {file.parent for file in folder.glob(f"*/**/{NAME}")}
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    own = (file for file in files if not inner & set(file.parents))
    return {file.relative_to(folder).as_posix(): np.fromfile(file, np.uint8) for file in own}


def _start_measuring(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()


def _share_of_memory(device: torch.device) -> float:
    if device.type != "cuda":
        return 0.0
    _, total = torch.cuda.mem_get_info()
    return float(torch.cuda.max_memory_reserved() / total)


class _LogHandler(logging.handlers.QueueHandler):
    """Sends log records to the driver."""

    def __init__(self, send: Any) -> None:
        super().__init__(queue.SimpleQueue())
        self.send = send

    def enqueue(self, record: logging.LogRecord) -> None:
        self.send("log", record)


@contextlib.contextmanager
def _forwarding(desk: Any, level: int) -> Iterator[None]:
    """Send log records and events to the driver while the block runs."""
    logger, handler = logging.getLogger("committee"), _LogHandler(desk.send.remote)
    before = logger.level
    logger.setLevel(level)
    logger.addHandler(handler)
    try:
        with events.listening(functools.partial(desk.send.remote, "event")):
            yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
