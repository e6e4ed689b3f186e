"""What the machines of a Ray cluster need before they predict: the same packages, and sight of the images."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from committee._version import __version__
from committee.base.text import count
from committee.errors import DataError
from committee.images.remote import RemoteFile
from committee.inference.packed_images import unseen
from committee.inference.photos import Photo, bytes_of

log = logging.getLogger(__name__)

PACKAGES = ("torch", "onnxruntime", "numpy", "pillow")
"""Packages on whose versions answers depend."""


def check_nodes(ray: Any, photo: Photo) -> None:
    """Raise an error unless each machine has the versions of this one, and sees an image that this one sees.

    Raises
    ------
    DataError
        A package has another version, or a machine does not see the image.
    StorageError
        A machine cannot read the storage of the image.
    """
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    probe = ray.remote(num_cpus=0, max_retries=1)(look)
    seen = photo if isinstance(photo, RemoteFile) or photo.exists() else None
    tasks = [probe.options(scheduling_strategy=On(node, soft=True)).remote(seen) for node in nodes]
    for host, there in ray.get(tasks):
        require_equal(host, versions(), there)
    log.info("predicting on %s", count(len(nodes), "machine"))


def look(photo: Photo | None) -> tuple[str, dict[str, str]]:
    """Read an image, and return the name of this machine and its versions."""
    if isinstance(photo, RemoteFile):
        with contextlib.suppress(DataError):  # a row of its own
            bytes_of(photo)
    elif photo is not None and not photo.exists():
        raise unseen(photo)
    return socket.gethostname(), versions()


def versions() -> dict[str, str]:
    """Return the versions of the packages that are installed here."""
    found = {"committee": __version__}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def require_equal(host: str, here: Mapping[str, str], there: Mapping[str, str]) -> None:
    """Raise an error if a package that two machines have differs."""
    for name, version in here.items():
        if there.get(name, version) != version:
            raise DataError(
                f"machine {host} of the cluster",
                expected=f"{name} {version}, as here",
                got=there[name],
                todo="Install the same versions on all machines.",
            )
