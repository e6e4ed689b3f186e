"""From the name of a device to the device, or to the sentence that says why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from committee.errors import DeviceError

if TYPE_CHECKING:
    import torch


def available() -> tuple[str, ...]:
    """Return the device names that this machine can serve, best first."""
    import torch

    found = ["cuda"] if torch.cuda.is_available() else []
    found += ["mps"] if torch.backends.mps.is_available() else []
    return (*found, "cpu")


def resolve(name: str) -> torch.device:
    """Return the device called `name`; `auto` is the best that this machine has.

    Raises
    ------
    DeviceError
        This machine has no such device.
    """
    import torch

    here = available()
    if name == "auto":
        return torch.device(here[0])
    if name not in here:
        raise DeviceError(
            "device",
            expected=f"one that this machine has ({', '.join(here)})",
            got=f"'{name}'",
            todo="Take the best one with --set device=auto.",
        )
    return torch.device(name)
