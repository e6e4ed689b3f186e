"""Executor that makes the fits on the machines of a Ray cluster."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import torch

from committee.base.text import count
from committee.errors import MismatchError, UsageError
from committee.executors.base import Executor, Report
from committee.executors.shared.division import Division, Workers
from committee.executors.shared.ray_cluster import connect
from committee.executors.shared.scheduler import Scheduler
from committee.executors.shared.work import StoredWork
from committee.store.lock import outermost

PROBE_SECONDS = 60.0
ROUNDING = 1e-6
"""Tolerance of a number of shares: 1 // 0.1 is 9."""


class Ray(Executor):
    """Makes fits on all machines of a Ray cluster, which places, repeats and shows them.

    A node works in a folder of its own; what a fit wrote comes back and is stored by this process. What fits
    read (decoded images, networks of other members) is brought to a node once, unless it sees the same file.

    Parameters
    ----------
    workers : int or "auto"
        Largest number of fits at once; auto is as many as the cluster has room for.
    address : str, optional
        `HOST:PORT` of the head of the cluster; by default that of RAY_ADDRESS, or the cluster of this
        machine.
    cpus : int, default=1
        CPUs and threads of a fit.
    gpus : float, optional
        GPUs of a fit. By default none on a CPU; on a GPU one for the first fit of a member, and then the
        share whose memory that fit needed.
    retries : int, default=1
        How often a fit is repeated whose process or node was lost.

    Raises
    ------
    UsageError
        A number is negative, or zero where that has no meaning.

    See Also
    --------
    committee.executors.processes.Processes : Makes fits on this machine alone.

    Examples
    --------
    >>> from committee.executors import Ray
    >>> Ray(address="10.0.0.7:6379", cpus=4).cpus
    4
    """

    def __init__(
        self,
        workers: Workers = "auto",
        address: str | None = None,
        cpus: int = 1,
        gpus: float | None = None,
        retries: int = 1,
    ) -> None:
        super().__init__(workers)
        self.address, self.cpus, self.gpus, self.retries = address, cpus, gpus, retries
        for name, value, least in (("cpus", cpus, 1), ("gpus", gpus or 0.0, 0.0), ("retries", retries, 0)):
            if value < least:
                raise UsageError(f"executor.{name}", expected=f"at least {least:g}", got=str(value))

    def division(self, tasks: int, device: torch.device) -> Division:
        """Return how many fits the nodes have room for; see the base class."""
        slots = self._slots(connect(self.address), self._gpus(device))
        most = slots if self.workers == "auto" else min(self.workers, slots)
        return Division(max(1, min(most, tasks)), self.cpus)

    def run(
        self, scheduler: Scheduler[Any], work: StoredWork, division: Division, report: Report
    ) -> Iterator[int]:
        """Send tasks to Ray as they become ready; see the base class."""
        from committee.executors._ray_flight import Flight

        ray, wanted, gpus = connect(self.address), _wanted(work), self._gpus(work.device)
        _require_equal(ray, wanted)
        options: dict[str, Any] = {"threads": division.threads, "gpus": gpus, "retries": self.retries}
        root = outermost(work.store.root)
        with Flight(ray, work, root, wanted, share=self.gpus is None, **options) as flight:
            while True:
                yield from scheduler.finished()
                if scheduler.is_over:
                    return
                slots = self._slots(ray, flight.least_gpus)
                limit = slots if self.workers == "auto" else self.workers
                self._add(scheduler, work, flight, limit, report)
                flight.launch(slots)
                for task, result in flight.wait():
                    scheduler.put(task, result)
                    report(task, result)

    def _add(
        self, scheduler: Scheduler[Any], work: StoredWork, flight: Any, slots: int, report: Report
    ) -> None:
        """Take tasks that are ready; what the store has is not sent."""
        is_capped = self.workers != "auto"
        while flight.count < slots if is_capped else flight.room(slots):
            if (task := scheduler.take_now()) is None:
                return
            if not work.has(task):
                flight.add(task)
                continue
            result = work.do(task)
            scheduler.put(task, result)
            report(task, result)

    def describe(self) -> str:
        """Return the nodes of the cluster and their CPUs and GPUs; see the base class."""
        ray = connect(self.address)
        nodes = [each for each in ray.nodes() if each["Alive"]]
        names = ", ".join(f"{each['NodeManagerAddress']} ({_resources(each)})" for each in nodes)
        return f"Ray, nodes {names}"

    def _gpus(self, device: torch.device) -> float:
        if self.gpus is not None:
            return self.gpus
        return 1.0 if device.type == "cuda" else 0.0

    def _slots(self, ray: Any, gpus: float) -> int:
        """Return how many fits the nodes that are alive now have room for."""
        total = 0
        for each in ray.nodes():
            if each["Alive"]:
                cpus = each["Resources"].get("CPU", 0) // self.cpus
                shares = each["Resources"].get("GPU", 0) / gpus + ROUNDING if gpus else cpus
                total += int(min(cpus, shares))
        if not total:
            raise UsageError(
                "executor ray",
                expected=f"a node with {self.cpus} CPUs and {gpus:g} GPUs for a fit",
                got=self.describe(),
                todo="Set a smaller executor.cpus or executor.gpus, or add a node.",
            )
        return total


def _resources(node: dict[str, Any]) -> str:
    found = node["Resources"]
    return f"{found.get('CPU', 0):g} CPUs, {found.get('GPU', 0):g} GPUs"


def _wanted(work: StoredWork) -> dict[str, Any]:
    """Return what a node must have."""
    from committee.executors._ray_node import sampled, versions

    files = {os.path.abspath(path): sampled(str(path)) for path in work.files()}  # noqa: PTH100
    modules = sorted(work.modules())
    return {"path": list(sys.path), "versions": versions(), "modules": modules, "files": files}


def _require_equal(ray: Any, wanted: dict[str, Any]) -> None:
    """Raise MismatchError unless all nodes have what fits need."""
    from committee.executors import _ray_node

    ray.cloudpickle.register_pickle_by_value(_ray_node)
    affinity = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
    probe = ray.remote(_ray_node.differences)
    nodes = {each["NodeID"]: each["NodeManagerAddress"] for each in ray.nodes() if each["Alive"]}
    asked = {
        probe.options(num_cpus=0, max_retries=0, scheduling_strategy=affinity(node, soft=False)).remote(
            wanted
        ): address
        for node, address in nodes.items()
    }
    ready, _ = ray.wait(list(asked), num_returns=len(asked), timeout=PROBE_SECONDS)
    rows = [
        (f"{asked[each]}: {what}", expected, got) for each in ready for what, expected, got in ray.get(each)
    ]
    rows += [(asked[each], "an answer", "none") for each in asked if each not in ready]
    if rows:
        raise MismatchError.of(
            rows,
            "nodes of the Ray cluster",
            expected="what this process has",
            got=count(len(rows), "difference"),
            todo="Install the same versions and modules on all nodes, and put files on a disk that all nodes "
            "see.",
        )
