"""What a module costs: time, size, memory. Always of the whole module, view included."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

MEGABYTE = 1e6


@torch.inference_mode()
def latency(module: nn.Module, images: Tensor, repeats: int = 20, warmup: int = 3) -> dict[str, Any]:
    """Time a module on one batch, after warm-up, in evaluation mode.

    Parameters
    ----------
    module : nn.Module
        From photos to logits; timed through `infer` where it has one. On any device.
    images : uint8 tensor `[B, c, H, W]`
        Taken to the module's device before the clock starts.
    repeats, warmup : int
        Timed and untimed calls.

    Returns
    -------
    dict
        `median` and `p95` in milliseconds a batch; `batch`, `device`, `threads` they were measured with.
    """
    device = device_of(module)
    images = images.to(device)
    call = getattr(module, "infer", module)
    training = module.training
    module.eval()
    for _ in range(warmup):
        call(images)
    times = [_milliseconds(call, images, device) for _ in range(repeats)]
    module.train(training)
    return {
        "median": statistics.median(times), "p95": float(np.percentile(times, 95)), "batch": len(images),
        "device": device.type, "threads": torch.get_num_threads(),
    }  # fmt: skip


def device_of(module: nn.Module) -> torch.device:
    """Return where a module's tensors are; the CPU when it has none."""
    return next((tensor.device for tensor in _tensors(module)), torch.device("cpu"))


def parameters(module: nn.Module) -> int:
    """Return the number of parameters; shared ones count once."""
    return sum(parameter.numel() for parameter in module.parameters())


def size_mb(module: nn.Module) -> float:
    """Return the size of all parameters and buffers in megabytes (10^6 bytes); shared storage counts once."""
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage() for tensor in _tensors(module)}
    return sum(storage.nbytes() for storage in storages.values()) / MEGABYTE


def peak_memory_mb() -> float | None:
    """Return the most memory this process has had, in megabytes, or None where the system does not tell."""
    try:
        import resource
        import sys
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MEGABYTE


def _milliseconds(call: Any, images: Tensor, device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    call(images)
    _wait(device)
    return (time.perf_counter() - start) * 1e3


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()
