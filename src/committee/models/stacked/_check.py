"""Whether networks as one return what they return alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from committee.models.stacked.alike import NotStackable

if TYPE_CHECKING:
    from committee.models.stacked.stack import Stack

SEED = 0


@torch.no_grad()
def check(stack: Stack, buffers: Sequence[Tensor], example: Tensor) -> None:
    """Raise NotStackable unless networks as one return the same, and change their buffers alike, as alone.

    The networks run in their present mode. On a GPU, random numbers drawn alone and together differ: there
    they run in evaluation mode.

    Parameters
    ----------
    stack : Stack
    buffers : sequence of Tensor
        The buffers of the networks; they keep their values.
    example : tensor [B, ...]
        Input of one network.
    """
    before = [each.clone() for each in buffers]
    modes = [(module, module.training) for module in stack.modules()]
    devices = [] if example.device.type == "cpu" else [example.device]
    if devices:
        stack.eval()
    try:
        with torch.random.fork_rng(devices, device_type=example.device.type):
            alone = _restored(buffers, before, lambda: _alone(stack, example))
            each = example.expand(len(stack.networks), *example.shape)
            _compare(alone, _restored(buffers, before, lambda: _together(stack, example, shared=True)))
            _compare(alone, _restored(buffers, before, lambda: _together(stack, each, shared=False)))
    finally:
        stack.generators = None
        for module, training in modes:
            module.training = training


def _restored(
    buffers: Sequence[Tensor], before: Sequence[Tensor], call: Callable[[], Tensor]
) -> list[Tensor]:
    """Return what a function returns and leaves in the buffers, which then get their values back."""
    try:
        return [call(), *(each.clone() for each in buffers)]
    finally:
        for each, value in zip(buffers, before, strict=True):
            each.copy_(value)


def _alone(stack: Stack, example: Tensor) -> Tensor:
    outputs = []
    for network in stack.networks:
        torch.manual_seed(SEED)
        try:
            outputs.append(network(example))
        except Exception as error:
            shape = list(example.shape)
            raise NotStackable(f"networks that do not take an example {shape}: {_text(error)}") from error
        if not isinstance(outputs[-1], Tensor):
            raise NotStackable(f"networks that return {type(outputs[-1]).__name__} instead of a tensor")
    return torch.stack(outputs)


def _together(stack: Stack, x: Tensor, *, shared: bool) -> Tensor:
    stack.generators = [torch.Generator(x.device).manual_seed(SEED) for _ in stack.networks]
    try:
        return stack(x, shared=shared)
    except NotStackable:
        raise
    except Exception as error:
        raise NotStackable(
            f"a forward pass that fails for several networks at once: {_text(error)}"
        ) from error


def _text(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _compare(alone: Sequence[Tensor], together: Sequence[Tensor]) -> None:
    """Raise NotStackable if tensors differ by more than rounding: by half of their digits."""
    names = ["outputs", *["buffers"] * (len(alone) - 1)]
    for name, one, all_ in zip(names, alone, together, strict=True):
        if one.shape != all_.shape:
            raise NotStackable(f"{name} {list(all_.shape)} of all at once and {list(one.shape)} alone")
        precision = torch.finfo(one.dtype).eps ** 0.5 if one.is_floating_point() else 0.0
        one, all_ = one.double(), all_.double()
        limit = precision * max(1.0, float(one.abs().max())) if one.numel() else 0.0
        if not torch.allclose(one, all_, rtol=0, atol=limit, equal_nan=True):
            apart = float((one - all_).abs().max())
            raise NotStackable(f"{name} of all at once that differ by {apart:.3g} from those alone")
