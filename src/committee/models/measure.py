"""Measurements of modules: time and size, including their preprocessing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from committee.models.batch import Batch
from committee.models.timing import MEGABYTE


@torch.inference_mode()
def call_times(
    module: nn.Module, batch: Tensor | Batch, repeats: int = 20, warmup: int = 3
) -> NDArray[np.float64]:
    """Measure the time of a module on one batch, after warm-up and in evaluation mode.

    Parameters
    ----------
    module : nn.Module
        The module, on any device; its method `infer` is measured if it has one.
    batch : tensor or Batch
        The input of the module, such as images, uint8 `[B, c, H, W]`, on the same device. With a `Batch`, the
        images are resized in the warm-up, and the time is that of the networks without it.
    repeats, warmup : int
        Numbers of measured calls and of calls before them.

    Returns
    -------
    float64 array [repeats]
        Duration of each call in milliseconds.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from committee.models import call_times
    >>> times = call_times(nn.Linear(4, 2), torch.ones(8, 4), repeats=5)
    >>> times.shape, bool((times > 0).all())
    ((5,), True)
    """
    call = getattr(module, "infer", module)
    training = module.training
    module.eval()
    for _ in range(warmup):
        call(batch)
    times = [milliseconds(call, batch) for _ in range(repeats)]
    module.train(training)
    return np.array(times)


@torch.inference_mode()
def batch_times(
    calls: Sequence[Callable[[Tensor], Tensor]], batches: Sequence[Tensor], seconds: float = 10.0
) -> list[NDArray[np.float64]]:
    """Measure the time of several functions on the same batches, in turns, each batch once.

    A call with the first batch, which is not measured, precedes the measurements.

    Parameters
    ----------
    calls : sequence of callables
        Such as `ensemble.infer` and `ensemble`.
    batches : sequence of tensors
        The inputs, on the device of the functions.
    seconds : float
        No further batch is started after this time.

    Returns
    -------
    list of float64 arrays
        Duration of each batch in milliseconds, for each function.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from committee.models import batch_times
    >>> net = nn.Linear(4, 2).eval()
    >>> times = batch_times([net, torch.relu], [torch.ones(8, 4)] * 3)
    >>> [each.shape for each in times]
    [(3,), (3,)]
    """
    for call in calls:
        call(batches[0])
    start, times = time.perf_counter(), list[list[float]]()
    for batch in batches:
        times.append([milliseconds(call, batch) for call in calls])
        if time.perf_counter() - start > seconds:
            break
    return list(np.array(times).T)


def device_of(module: nn.Module) -> torch.device:
    """Return the device of the tensors of a module; the CPU if it has none."""
    return next((tensor.device for tensor in _tensors(module)), torch.device("cpu"))


def parameters(module: nn.Module) -> int:
    """Return the number of parameters; shared parameters count once.

    Examples
    --------
    >>> from torch import nn
    >>> from committee.models import parameters
    >>> parameters(nn.Linear(4, 2))
    10
    """
    return sum(parameter.numel() for parameter in module.parameters())


def size_mb(module: nn.Module) -> float:
    """Return the size of all parameters and buffers in MB (10^6 bytes); shared storage counts once.

    Examples
    --------
    >>> from torch import nn
    >>> from committee.models import size_mb
    >>> size_mb(nn.Linear(1000, 1000, bias=False))
    4.0
    """
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage() for tensor in _tensors(module)}
    return sum(storage.nbytes() for storage in storages.values()) / MEGABYTE


def milliseconds(call: Any, batch: Tensor | Batch) -> float:
    """Return how long a call with a batch takes, until its device has nothing left to do."""
    _wait(batch.device)
    start = time.perf_counter()
    call(batch)
    _wait(batch.device)
    return (time.perf_counter() - start) * 1e3


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        getattr(torch, device.type).synchronize()


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()
