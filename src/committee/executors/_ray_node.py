"""What a node of Ray runs before it imports committee: this file is sent to it, and imports nothing else."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import sys
from importlib import metadata
from typing import Any

BLOCKS, BLOCK = 64, 4096
_CHECKED: dict[str, list[tuple[str, str, str]]] = {}
"""What this process lacks of what drivers want; filled on nodes alone, since it is sent with `make`."""


def sampled(path: str) -> str:
    """Return a digest of the size of a file and of 64 blocks of it, which tells whether two are the same."""
    size = os.path.getsize(path)  # noqa: PTH202
    total = hashlib.sha256(str(size).encode())
    with open(path, "rb") as file:  # noqa: PTH123
        for number in range(BLOCKS):
            file.seek(size * number // BLOCKS)
            total.update(file.read(BLOCK))
    return total.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions on which the bytes of a result depend; `committee` with a digest of its code."""
    found = {"Python": platform.python_version()}
    for package in ("torch", "timm", "numpy"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "none"
    return {**found, "committee": _code()}


def _code() -> str:
    spec = importlib.util.find_spec("committee")
    if spec is None or spec.origin is None:
        return "none"
    total, top = hashlib.sha256(), os.path.dirname(spec.origin)  # noqa: PTH120
    for folder, folders, files in os.walk(top):
        folders.sort()
        for name in sorted(name for name in files if name.endswith(".py")):
            with open(os.path.join(folder, name), "rb") as file:  # noqa: PTH118, PTH123
                total.update(file.read().replace(b"\r\n", b"\n"))
    return f"code {total.hexdigest()[:8]}"


def differences(wanted: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Return what this node lacks: what it is, what is expected, and what was found.

    Parameters
    ----------
    wanted : dict
        `path` (`sys.path` of the driver), `versions`, `modules` that must be found, and `files`: path ->
        digest of `sampled`.
    """
    sys.path.extend(each for each in wanted["path"] if each not in sys.path and os.path.isdir(each))  # noqa: PTH112
    own = versions()
    found = [(name, text, own[name]) for name, text in wanted["versions"].items() if own[name] != text]
    absent = (name for name in wanted["modules"] if not _can_be_found(name))
    found += [(f"the module '{name}'", "one that can be imported", "none") for name in absent]
    for path, digest in wanted["files"].items():
        if not os.path.isfile(path):  # noqa: PTH113
            found.append((path, "the file of the driver", "none"))
        elif sampled(path) != digest:
            found.append((path, "the file of the driver", "another one"))
    return found


def _can_be_found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def make(wanted: dict[str, Any], order: bytes, work: bytes, desk: Any) -> Any:
    """Do the tasks of an order on this node, unless it lacks something; then return its id and what."""
    key = repr(wanted)
    if key not in _CHECKED:
        _CHECKED[key] = differences(wanted)
    if lacking := _CHECKED[key]:
        import ray

        node = ray.get_runtime_context().get_node_id()
        return node, [f"{what}: expected {expected}, got {got}" for what, expected, got in lacking]
    from committee.executors._ray_task import carry_out

    return carry_out(order, work, desk)
