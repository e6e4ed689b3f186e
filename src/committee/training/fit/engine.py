"""Device, number format and several GPUs, through Lightning Fabric.

Fabric was chosen over Accelerate by measurement (`benchmarks/fabric_or_accelerate.py`): a sixth of its cost
per step, no process-wide state that a second member with another precision would trip over, and several GPUs
without a launcher of its own; against that, its import takes a second longer.
"""

from __future__ import annotations

import logging

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment
from torch import nn

from committee.errors import RecipeError
from committee.training.fit.allocator import keep_freed_memory

# It announces each fit on stderr; what people should read goes through our own loggers.
logging.getLogger("lightning_fabric").setLevel(logging.WARNING)

_FORMATS = {"fp32": "32-true", "bf16": "bf16-mixed", "fp16": "16-mixed"}


def processes(device: torch.device) -> int:
    """Return how many processes share a fit: one a GPU where the device is `cuda`, without a number."""
    return max(1, torch.cuda.device_count()) if device.type == "cuda" and device.index is None else 1


def make_fabric(device: torch.device, precision: str, count: int = 1) -> Fabric:
    """Return the Fabric that places a fit on `device` in the number format that the recipe asks for.

    Raises
    ------
    RecipeError
        The device has no such number format.
    """
    if device.type == "cpu":
        keep_freed_memory()
    devices = [device.index] if device.index is not None and device.type != "cpu" else count
    return Fabric(
        accelerator=device.type,
        devices=devices,
        strategy="ddp_spawn" if count > 1 else "auto",
        precision=_FORMATS[number_format(device, precision)],
        # Without, a cluster's environment variables would decide how many processes there are.
        plugins=[LightningEnvironment()] if count == 1 else [],
    )


def number_format(device: torch.device, precision: str) -> str:
    """Return what `precision` means on `device`: `auto` is bf16 on a GPU that has it, else fp32."""
    if precision == "auto":
        bf16 = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16" if bf16 else "fp32"
    if precision == "fp16" and device.type == "cpu":
        raise RecipeError(
            "training.precision",
            expected="auto, fp32 or bf16 on a CPU",
            got="'fp16'",
            todo="Take auto: it is the fastest that keeps the accuracy.",
        )
    return precision


def memory_format(
    network: nn.Module, wanted: bool | str, device: torch.device, form: str
) -> torch.memory_format:
    """Return the memory format of images and kernels; `auto` is channels-last where convolutions gain.

    That is on CPUs, and on GPUs in half precision; not for depthwise or 1x1 kernels alone, nor without any.
    """
    if wanted == "auto":
        dense = any(
            isinstance(layer, nn.Conv2d) and layer.groups == 1 and max(layer.kernel_size) > 1
            for layer in network.modules()
        )
        wanted = dense and (device.type == "cpu" or (device.type == "cuda" and form != "fp32"))
    return torch.channels_last if wanted else torch.contiguous_format
