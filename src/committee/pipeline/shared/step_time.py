"""Time of a training step of a network: from a forward pass of few images, or else from its FLOPs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.module import register_module_forward_pre_hook

STEP = 3.0
"""Time of a training step, as a multiple of its forward pass: the backward pass takes about twice as long."""
NETWORK = 1.5
"""Time of a network, as a multiple of that of a convolution of 3 x 3 with as many FLOPs."""
CLEAR = 0.05
"""Seconds of a forward pass that are not dominated by the overhead of its calls."""


class StepTimer:
    """Estimates the time of training steps, within a limit for all networks together.

    A network is timed on two images, and on more, up to the size of a batch, where these take too little time
    to be measured. The pass ends when the limit is reached; the time then follows from the network's FLOPs,
    and from the speed of one convolution on this device.

    Parameters
    ----------
    device : torch.device
    limit : float
        Seconds for all networks.

    Examples
    --------
    >>> import torch
    >>> from committee.pipeline.shared.step_time import StepTimer
    >>> seconds, source = StepTimer(torch.device("cpu")).measure(torch.nn.Flatten(), (3, 8, 8), 4)
    >>> seconds > 0, source
    (True, '4 images')
    """

    def __init__(self, device: torch.device, limit: float = 6.0) -> None:
        self.device, self.left = device, limit

    def measure(
        self,
        network: nn.Module,
        shape: tuple[int, ...],
        batch_size: int,
        check: Callable[[Tensor], object] = id,
    ) -> tuple[float, str]:
        """Return the seconds of a training step for one image, and what they follow from.

        Parameters
        ----------
        network : nn.Module
            On the device, in training mode.
        shape : tuple of int
            Shape of an image, `[c, H, W]`.
        batch_size : int
            Images in a batch.
        check : callable, optional
            Is given the output of the first batch, and may raise an error.
        """
        start = time.perf_counter()
        try:
            return self._timed(network, shape, batch_size, check, start + self.left)
        except _TimeIsUpError:
            return STEP * NETWORK * _flops(network, shape) / _flops_a_second(self.device), "FLOPs"
        finally:
            self.left = max(0.0, self.left - (time.perf_counter() - start))

    @torch.no_grad()
    def _timed(
        self,
        network: nn.Module,
        shape: tuple[int, ...],
        batch_size: int,
        check: Callable[[Tensor], object],
        end: float,
    ) -> tuple[float, str]:
        size, seconds = 0, 0.0
        with register_module_forward_pre_hook(lambda *_: _require_time(end)):
            while size < batch_size and seconds < CLEAR:
                size = min(batch_size, max(2, 4 * size))
                images = torch.randn(size, *shape, device=self.device)
                output, seconds = _forward(network, images)
                check(output)
        return STEP * seconds / size, f"{size} images"


class _TimeIsUpError(BaseException):
    """Ends a forward pass; no network catches it."""


def _require_time(end: float) -> None:
    if time.perf_counter() > end:
        raise _TimeIsUpError


def _forward(network: nn.Module, images: Tensor) -> tuple[Tensor, float]:
    """Return the output of a network, and the seconds of its forward pass."""
    start = time.perf_counter()
    output = network(images)
    if images.device.type != "cpu":
        getattr(torch, images.device.type).synchronize()
    return output, time.perf_counter() - start


@torch.no_grad()
def _flops(network: nn.Module, shape: tuple[int, ...]) -> float:
    """Return the FLOPs of a forward pass of one image, counted without computing it."""
    from torch.utils.flop_counter import FlopCounterMode

    named = (*network.named_parameters(), *network.named_buffers())
    weights = {name: tensor.to("meta") for name, tensor in named}
    with FlopCounterMode(display=False) as counter:
        functional_call(network, weights, (torch.empty(2, *shape, device="meta"),))
    return counter.get_total_flops() / 2


@torch.no_grad()
def _flops_a_second(device: torch.device) -> float:
    """Return the FLOPs in a second of a convolution, in the median of five calls."""
    layer, images = nn.Conv2d(64, 64, 3, padding=1, device=device), torch.randn(2, 64, 56, 56, device=device)
    flops = 2 * len(images) * 56 * 56 * layer.weight.numel()
    return flops / statistics.median(_forward(layer, images)[1] for _ in range(5))
