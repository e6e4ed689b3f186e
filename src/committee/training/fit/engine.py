"""Device, number format and several GPUs of a fit.

Fits on one device need no library but torch (`one_device`). Several GPUs are used through Lightning Fabric,
which needs no separate launcher and has no state of the process that would conflict with a second member of
another precision. Its import takes as long as that of torch (`benchmarks/fabric_or_accelerate.py`).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import nn

from committee.errors import RecipeError
from committee.training.fit.allocator import keep_freed_memory
from committee.training.fit.one_device import OneDevice

if TYPE_CHECKING:
    import lightning_fabric

    Fabric: TypeAlias = OneDevice | lightning_fabric.Fabric

# Fabric announces each fit on stderr; messages for users go through the loggers of this package.
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)

_FORMATS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


def processes(device: torch.device) -> int:
    """Return how many processes share a fit: one per GPU if the device is `cuda` without a number."""
    return max(1, torch.cuda.device_count()) if device.type == "cuda" and device.index is None else 1


def make_fabric(device: torch.device, precision: str) -> OneDevice:
    """Return what runs a fit on one device in the number format of the recipe.

    Parameters
    ----------
    device : torch.device
    precision : "auto", "fp32", "bf16" or "fp16"

    Raises
    ------
    RecipeError
        The device does not support the number format.
    """
    if device.type == "cpu":
        keep_freed_memory()
    return OneDevice(device, number_format(device, precision))


def shared_fabric(device: torch.device, precision: str, count: int) -> lightning_fabric.Fabric:
    """Return the Fabric that runs a fit in `count` processes."""
    from lightning_fabric import Fabric

    if device.type == "cpu":
        keep_freed_memory()
    form = _FORMATS[number_format(device, precision)]
    return Fabric(accelerator=device.type, devices=count, strategy="ddp_spawn", precision=form)


def number_format(device: torch.device, precision: str) -> str:
    """Return the number format of `precision`: `auto` is bf16 on GPUs that support it, else fp32."""
    if precision == "auto":
        bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16" if bf16 else "fp32"
    if precision == "fp16" and device.type == "cpu":
        raise RecipeError(
            "training.precision",
            expected="auto, fp32 or bf16 on a CPU",
            got="'fp16'",
            todo="Use auto: it is the fastest format that keeps the accuracy.",
        )
    return precision


def memory_format(
    network: nn.Module, wanted: bool | str, device: torch.device, form: str
) -> torch.memory_format:
    """Return the memory format of images and kernels; `auto` is channels-last where it is faster.

    It is faster on CPUs, and on GPUs in half precision, for networks with at least one convolution that is
    neither depthwise nor 1x1.
    """
    if wanted == "auto":
        dense = any(
            isinstance(layer, nn.Conv2d) and layer.groups == 1 and max(layer.kernel_size) > 1
            for layer in network.modules()
        )
        wanted = dense and (device.type == "cpu" or (device.type == "cuda" and form != "fp32"))
    return torch.channels_last if wanted else torch.contiguous_format
