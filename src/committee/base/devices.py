"""Lookup of devices by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from committee.errors import DeviceError

if TYPE_CHECKING:
    import torch


def available() -> tuple[str, ...]:
    """Return the names of the devices of this machine, the fastest first."""
    import torch

    found = ["cuda"] if torch.cuda.is_available() else []
    found += ["mps"] if torch.backends.mps.is_available() else []
    return (*found, "cpu")


def resolve(name: str) -> torch.device:
    """Return the device called `name`; `auto` is the fastest of this machine.

    Raises
    ------
    DeviceError
        The device is not available on this machine.
    """
    import torch

    names = available()
    if name == "auto":
        return torch.device(names[0])
    if name not in names:
        raise DeviceError(
            "device",
            expected=f"an available device ({', '.join(names)})",
            got=f"'{name}'",
            todo="Use the fastest one with --set device=auto.",
        )
    return torch.device(name)
