"""Prediction on a Ray cluster: a pipeline of Ray Data from the places of images to tables of predictions."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress, islice
from typing import Any

from committee import errors
from committee.errors import CommitteeError, DataError, DeviceError, UsageError, printable
from committee.executors.shared.ray_cluster import connect
from committee.images.remote import RemoteFile
from committee.inference.packed_images import UNREAD, Reading, addresses, entries
from committee.inference.part_tables import PartTables
from committee.inference.photos import Photo
from committee.inference.predict import canvases_of, predict_entries
from committee.inference.ray_nodes import Needs, check_nodes, check_once, is_readable
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
            gpus, needs = self._check(ray), Needs.here(_samples(photos))
            check_nodes(ray, needs)
            found = self._pipeline(ray, tables, photos, gpus, needs)
            there = iter(photos)
            for table in found.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
                _check_unread(ray, list(islice(there, len(table))), table[UNREAD].to_pylist())
                yield table.drop_columns([UNREAD])
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

    def _copies(self, ray: Any, gpus: bool) -> int:
        """Return how many actors the machines have the processors or GPUs for now."""
        there = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        return sum(int(each.get("GPU", 0) if gpus else each.get("CPU", 0) // self.cpus) for each in there)

    def _pipeline(
        self, ray: Any, tables: PartTables, photos: Sequence[Photo], gpus: bool, needs: Needs
    ) -> Any:
        import ray.data as rd

        context = rd.DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = True
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what it logs, it raises as well
        blocks = [addresses(photos[start : start + BLOCK]) for start in range(0, len(photos), BLOCK)]
        reading = Reading(tables.model.channels, canvases_of(tables.model), needs)
        device = "cuda" if gpus else "cpu"
        arguments = (ray.put(self.shipped), tables.rule, tables.name, dict(self.settings), device, needs)
        # Without GPUs, both need the same, so that Ray runs both in the same processes.
        found = rd.from_arrow(blocks).map_batches(
            reading, batch_size=None, batch_format="pyarrow", num_cpus=1 if gpus else self.cpus
        )
        return found.map_batches(
            _Actor,
            fn_constructor_args=arguments,
            batch_size=self.settings.get("batch_size", 32),
            batch_format="pyarrow",
            compute=rd.ActorPoolStrategy(
                min_size=1,
                initial_size=max(1, min(self._copies(ray, gpus), len(blocks))),
                max_size=len(blocks),  # as many as fit, also on machines that join later
            ),
            num_cpus=self.cpus,
            num_gpus=1 if gpus else 0,
        )


def _samples(photos: Sequence[Photo]) -> list[Photo]:
    """Return an image of this machine and one of each storage, if there are some."""
    found: dict[str, Photo] = {}
    for photo in photos:
        found.setdefault("/".join(photo.url.split("/")[:3]) if isinstance(photo, RemoteFile) else "", photo)
    return list(found.values())


def _check_unread(ray: Any, photos: Sequence[Photo], unread: Sequence[bool]) -> None:
    """Raise an error if an image whose file a machine could not read can be read here."""
    for photo in compress(photos, unread):
        if is_readable(photo):
            check_nodes(ray, Needs.here([photo]))
            raise DataError(
                printable(photo.as_posix()),
                expected="an image that all machines of the cluster read",
                got="one that a machine could not read for a while",
                todo="Run the same command again: it continues.",
            )


class _Actor:
    """A model that predicts tables of packed images, in a process of its own."""

    def __init__(
        self, shipped: Any, rule: Rule, name: str, settings: dict[str, Any], device: str, needs: Needs
    ) -> None:
        import ray

        check_once(needs)
        model = as_needed(ray.get(shipped).open(device), rule)
        self._limited = TimeLimit(model, settings.pop("time_limit", SECONDS))
        self._tables, self._settings = PartTables(model, rule, name), settings

    def __call__(self, table: Any) -> Any:
        images = entries(table, self._limited.model.channels)
        found = self._tables.of(predict_entries(self._limited, images, **self._settings))
        return found.append_column(UNREAD, table[UNREAD])


def _own(error: BaseException) -> BaseException:
    """Return the error of this package that a task of Ray raised, or one that describes what Ray says.

    Ray Data passes on the text of what a task raised, in a traceback, and not the exception.
    """
    error = getattr(error, "cause", None) or error  # of a task that is no part of a pipeline
    if isinstance(error, CommitteeError):
        return error
    raised = [(name, text) for name, text in _RAISED.findall(str(error)) if not name.startswith("ray.")]
    for name, text in reversed(raised):  # those before are its causes
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
