"""Prediction on a Ray cluster: a pipeline of Ray Data from the places of images to tables of predictions."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from committee import errors
from committee.errors import CommitteeError, DeviceError, UsageError, printable
from committee.executors.shared.ray_cluster import connect
from committee.inference.packed_images import Reading, addresses, entries
from committee.inference.part_tables import PartTables
from committee.inference.photos import Photo
from committee.inference.predict import canvases_of, predict_entries
from committee.inference.ray_nodes import check_nodes
from committee.inference.rules import Rule, as_needed
from committee.inference.shipping import Shipped
from committee.inference.time_limit import SECONDS, TimeLimit

BLOCK = 64
"""Images that one task reads."""


@dataclass(frozen=True)
class OnRay:
    """Predicts images on a Ray cluster.

    Ray Data reads the images in tasks on any machine, and predicts them in actors, each of which opens the
    model once; it holds back reading while the actors are busy, and repeats what a machine or a process that
    ended was doing. The tables of predictions come back in the order of the images.

    Parameters
    ----------
    shipped : Shipped
        The model, as `ship` returns it.
    settings : mapping
        Options of `committee.inference.predict.predict`, such as `batch_size`.
    address : str, optional
        `HOST:PORT` of the head of the cluster; see `connect`.
    device : str
        "cpu", "cuda", or "auto": GPUs if the cluster has some.
    cpus : int
        Processors, and threads, of each actor.

    See Also
    --------
    committee.inference.into_parts.InProcess : Predicts in this process.

    Examples
    --------
    >>> from committee.inference.on_ray import OnRay
    >>> OnRay(shipped=None, settings={"batch_size": 64}, address="10.0.0.5:6379").cpus
    1
    """

    shipped: Shipped
    settings: Mapping[str, Any]
    address: str | None = None
    device: str = "auto"
    cpus: int = 1

    def __call__(self, tables: PartTables, photos: Sequence[Photo]) -> Iterator[Any]:
        """Yield the tables of images, in order.

        Raises
        ------
        CommitteeError
            The cluster cannot be used, a machine of it does not see the images, or a worker failed.
        """
        # Ray warns of each pool of actors with constructor arguments, which is the normal case.
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
        ray = connect(self.address)
        try:
            gpus = self._check(ray)
            check_nodes(ray, photos[0])
            yield from self._pipeline(ray, tables, photos, gpus).iter_batches(
                batch_size=None, batch_format="pyarrow", prefetch_batches=0
            )
        except Exception as error:
            raise _own(error) from error

    def _check(self, ray: Any) -> bool:
        """Return whether GPUs are used; refuse what the cluster does not have."""
        there = ray.cluster_resources()
        gpus = int(there.get("GPU", 0))
        if self.device == "cuda" and not gpus:
            raise DeviceError(
                "device", expected="a cluster with GPUs", got="none", todo="Use --set device=cpu or auto."
            )
        largest = max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
        if self.cpus > largest:
            raise UsageError(
                "--cpus", expected=f"at most {largest:g}, those of the largest machine", got=str(self.cpus)
            )
        return bool(gpus) and self.device != "cpu"

    def _pipeline(self, ray: Any, tables: PartTables, photos: Sequence[Photo], gpus: bool) -> Any:
        import ray.data as rd

        context = rd.DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = True
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what it logs, it raises as well
        blocks = [addresses(photos[start : start + BLOCK]) for start in range(0, len(photos), BLOCK)]
        resources = ray.cluster_resources()
        most = resources["GPU"] if gpus else resources["CPU"] / self.cpus
        reading = Reading(tables.model.channels, canvases_of(tables.model))
        device = "cuda" if gpus else "cpu"
        arguments = (ray.put(self.shipped), tables.rule, tables.name, dict(self.settings), device)
        found = rd.from_arrow(blocks).map_batches(reading, batch_size=None, batch_format="pyarrow")
        return found.map_batches(
            _Actor,
            fn_constructor_args=arguments,
            batch_size=self.settings.get("batch_size", 32),
            batch_format="pyarrow",
            compute=rd.ActorPoolStrategy(min_size=1, max_size=max(1, min(int(most), len(blocks)))),
            num_cpus=self.cpus,
            num_gpus=1 if gpus else 0,
        )


class _Actor:
    """A model that predicts tables of packed images, in a process of its own."""

    def __init__(self, shipped: Any, rule: Rule, name: str, settings: dict[str, Any], device: str) -> None:
        import ray

        model = as_needed(ray.get(shipped).open(device), rule)
        self._limited = TimeLimit(model, settings.pop("time_limit", SECONDS))
        self._tables, self._settings = PartTables(model, rule, name), settings

    def __call__(self, table: Any) -> Any:
        images = entries(table, self._limited.model.channels)
        return self._tables.of(predict_entries(self._limited, images, **self._settings))


def _own(error: BaseException) -> BaseException:
    """Return the error of this package that a task of Ray raised, or one that describes what Ray says.

    Ray Data passes on the text of what a task raised, in a traceback, and not the exception.
    """
    if isinstance(error, CommitteeError):
        return error
    raised = [(name, text) for name, text in _RAISED.findall(str(error)) if not name.startswith("ray.")]
    for name, text in raised:
        if name.startswith("committee."):
            kind = getattr(errors, name.rpartition(".")[2], CommitteeError)
            return kind(text)
    if (found := re.search(r"No module named '(\w+)", str(error))) is not None:
        return CommitteeError(
            "a machine of the cluster",
            expected=f"the package '{found[1]}'",
            got="none installed",
            todo="Install the same packages on all machines.",
        )
    told = [f"{name}: {text}" for name, text in raised] or str(error).strip().splitlines()
    return CommitteeError("prediction on Ray", got=printable((told or [type(error).__name__])[0].strip()))


_RAISED = re.compile(r"^([\w.]+(?:Error|Exception|Failed)): (.+)$", re.MULTILINE)
"""The line of a traceback that names an exception."""
