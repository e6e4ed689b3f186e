"""What a fit on Ray costs beside its own time, with and without packing, against executors of one machine.

The tasks wait for a fixed time instead of training, and store a small result, so that what is measured is the
executor: sending, placement, the working store, the way back and the commit. All executors do the same tasks,
in alternation. Ray has two nodes of one processor each on this machine (127.0.0.2 and 127.0.0.3), whose
workers have done a task before; what the first task of a node costs is a row of its own. `processes` has two
processes, whose start is in its time, as in each run; so is the connection of Ray's stage.

    python benchmarks/ray_overhead.py

It needs Linux, five minutes, and `pip install 'committee[ray]'`.
"""

from __future__ import annotations

import os
import secrets
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from harness import Row, main, spread
from ray_faults import node

from committee.executors import _ray_flight
from committee.executors.base import Executor
from committee.executors.in_process import InProcess
from committee.executors.processes import Processes
from committee.executors.ray import Ray
from committee.executors.shared.scheduler import Scheduler
from committee.store.commit import commit
from committee.store.layout import Store

QUESTION = "fits on Ray"
SLOTS = 2


class Waiting:
    """Work whose tasks take a time in seconds and store a kilobyte."""

    device = torch.device("cpu")

    def __init__(self, store: Store, seconds: float) -> None:
        self.store, self.seconds = store, seconds

    def do(self, task: int) -> None:
        """Wait, and commit a folder."""
        time.sleep(self.seconds)
        with commit(self.store.checkpoint("waiting", task), kind="example", fingerprint=str(task)) as new:
            (new / "weights.bin").write_bytes(bytes(1024))

    def name(self, task: int) -> str:
        """Return the name of a task."""
        return f"waiting/fold_{task}"

    def has(self, task: int) -> bool:
        """Return that no task was done before."""
        return False

    def folders(self, task: int) -> list[Path]:
        """Return the folder of a task."""
        return [self.store.checkpoint("waiting", task)]

    def states(self, task: int) -> list[Path]:
        """Return the folder of a state, which is never written."""
        return [self.store.resume("waiting", task)]

    def received(self, task: int) -> None:
        """Do nothing."""

    def alike(self, task: int) -> str:
        """Return that all tasks take the same time."""
        return "waiting"

    def files(self) -> list[Path]:
        """Return no files."""
        return []

    def modules(self) -> list[str]:
        """Return this file."""
        return ["ray_overhead"]


def took(executor: Executor, seconds: float, count: int) -> float:
    """Return the seconds of some tasks by an executor, in a new store."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        work: Any = Waiting(store, seconds)
        scheduler = Scheduler([[task] for task in range(count)])
        with store.hold():
            start = time.perf_counter()
            division = executor.division(count, work.device)
            list(executor.run(scheduler, work, division, lambda task, result: None))
            end = time.perf_counter() - start
        errors = [each for each in scheduler.results.values() if isinstance(each, Exception)]
        assert not errors and len(list(Path(folder).glob("checkpoints/*/*/manifest.json"))) == count, errors
        return end


@contextmanager
def packed_to(seconds: float) -> Iterator[None]:
    """Pack short fits of Ray up to some seconds."""
    before, _ray_flight.PACKED_SECONDS = _ray_flight.PACKED_SECONDS, seconds
    try:
        yield
    finally:
        _ray_flight.PACKED_SECONDS = before


def on_ray(address: str, seconds: float, count: int, packed: float) -> float:
    """Return the seconds of some tasks on Ray."""
    with packed_to(packed):
        return took(Ray(address=address), seconds, count)


def measure(quick: bool) -> list[Row]:
    """Return the rows of this file."""
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(16))
    own = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    os.environ["PYTHONPATH"] = own
    with node("127.0.0.2", "--head", "--port=0") as (address, _), node("127.0.0.3", f"--address={address}"):
        first = on_ray(address, 0.0, SLOTS, 1.0)
        rows = [Row(QUESTION, "first task of each of two nodes: worker, imports, store", "", first)]
        sizes = ((0.05, 8, 1),) if quick else ((0.05, 48, 2), (0.2, 24, 2), (1.0, 8, 2), (5.0, 4, 1))
        for size in sizes:
            rows += of_size(address, *size)
    return rows


def of_size(address: str, seconds: float, count: int, rounds: int) -> list[Row]:
    """Return the rows of tasks of a length: seconds of all of them, and what one costs beside its own."""
    ways = {
        "in_process": lambda: took(InProcess(), seconds, count),
        "processes, 2": lambda: took(Processes(2), seconds, count),
        "Ray, one fit a task": lambda: on_ray(address, seconds, count, 0.0),
        "Ray, packed to 1 s": lambda: on_ray(address, seconds, count, 1.0),
        "Ray, packed to 3 s": lambda: on_ray(address, seconds, count, 3.0),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(way())
    work, rows = f"{count} fits of {seconds:g} s", []
    for name, values in found.items():
        slots = 1 if name == "in_process" else SLOTS
        cost = statistics.median(values) * slots / count - seconds
        note = f"{1000 * cost:.0f} ms a fit beside its own time, on {slots} at once"
        rows.append(
            Row(QUESTION, f"{work}: {name}", "", spread(values)[0], None, *spread(values)[1:], note=note)
        )
    return rows


if __name__ == "__main__":
    # The class of the work is found by its module on nodes, which have no `__main__` of this program.
    import ray_overhead

    main(ray_overhead.measure, packages=("ray",))
