"""What a machine of a Ray cluster needs to predict: the same packages, and sight of the images."""

from __future__ import annotations

import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from committee._version import __version__
from committee.base.text import count
from committee.errors import CommitteeError, DataError, StorageError, printable
from committee.images.remote import RemoteFile
from committee.inference.photos import Photo, bytes_of

log = logging.getLogger(__name__)

PACKAGES = ("torch", "onnxruntime", "numpy", "pillow")
"""Packages on whose versions answers depend."""


@dataclass(frozen=True)
class Needs:
    """The versions of this machine, and images that it reads, which other machines must have and read, too.

    It is pickled, and checked where images are read and predicted, so also on machines that join later.

    Parameters
    ----------
    versions : tuple of tuple of str
        Name and version of each package.
    photos : tuple of Path or RemoteFile
        Images that can be read here.
    """

    versions: tuple[tuple[str, str], ...]
    photos: tuple[Photo, ...]

    @classmethod
    def here(cls, photos: Sequence[Photo]) -> Needs:
        """Return the versions of this machine, and of the images those that can be read here.

        Raises
        ------
        StorageError
            This machine cannot read the storage of an image.
        """
        seen = filter(is_readable, photos)
        return cls(versions(), tuple(each.absolute() if isinstance(each, Path) else each for each in seen))

    def check(self) -> None:
        """Raise an error unless this machine has the same versions, and reads the same images.

        Raises
        ------
        DataError
            A package has another version, or an image cannot be read.
        StorageError
            A storage cannot be reached, or refuses the credentials.
        """
        there = dict(versions())
        for name, version in self.versions:
            if there.get(name, version) != version:
                raise DataError(
                    host(),
                    expected=f"{name} {version}, as on the machine that started the command",
                    got=there[name],
                    todo="Install the same versions on all machines.",
                )
        for photo in self.photos:
            try:
                bytes_of(photo)
            except (DataError, StorageError) as error:
                raise unseen(photo, error) from error


@cache
def check_once(needs: Needs) -> None:
    """Check what this machine needs, once in a process."""
    needs.check()


def versions() -> tuple[tuple[str, str], ...]:
    """Return the versions of the packages that are installed here."""
    found = [("committee", __version__)]
    for name in PACKAGES:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return tuple(found)


def is_readable(photo: Photo) -> bool:
    """Return whether the file of an image can be read here, whatever it contains."""
    try:
        bytes_of(photo)
    except DataError:
        return False
    return True


def unseen(photo: Photo, error: CommitteeError) -> CommitteeError:
    """Return the error for an image that this machine of the cluster cannot read."""
    is_remote = isinstance(photo, RemoteFile)
    told = f"{error.expected}: {error.got}"
    todo = "Set the same credentials in its environment, and start its node of Ray again."
    if not is_remote:
        todo = "Put the images on a disk that all machines see, or on an object storage (s3://...)."
    elif isinstance(error, StorageError) and not error.expected:  # one that cannot be reached
        told, todo = error.who, error.todo
    return (StorageError if is_remote else DataError)(
        host(),
        expected=f"access to {printable(photo.as_posix())}, as on the machine that started the command",
        got=f"none ({getattr(error, 'reason', told)})",
        todo=todo,
    )


def host() -> str:
    """Return the name of this machine of the cluster."""
    import ray.util

    return f"machine {socket.gethostname()} ({ray.util.get_node_ip_address()}) of the cluster"


def check_nodes(ray: Any, needs: Needs) -> None:
    """Raise an error unless each machine of a cluster has what it needs.

    Raises
    ------
    DataError, StorageError
        Those of `Needs.check`.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    probe = ray.remote(num_cpus=0, max_retries=1)(Needs.check)
    # A machine that has left since is not needed.
    ray.get([probe.options(scheduling_strategy=On(node, soft=True)).remote(needs) for node in nodes])
    log.info("predicting on %s", count(len(nodes), "machine"))
