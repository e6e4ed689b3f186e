"""Whether networks as one do what they do alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from committee.models.stacked.alike import NotStackable

if TYPE_CHECKING:
    from committee.models.stacked._weights import Weights
    from committee.models.stacked.stack import Stack

SEED = 0
UNSTEADY = (
    "a network that returns something else each time it runs, as with a counter, or with random numbers "
    "that are not those of torch"
)
SAME = 0.02
"""Largest difference of gradients, in units of their norm: more than what rounding makes of them."""


class Pass(NamedTuple):
    """Outputs `[M, B, ...]`, gradients of the parameters, and buffers after a forward and a backward pass."""

    outputs: Tensor
    gradients: list[Tensor]
    buffers: list[Tensor]


def check(stack: Stack, weights: Weights, example: Tensor) -> None:
    """Raise NotStackable unless outputs, gradients and buffers are those of the networks alone.

    The networks run in their present mode. On a GPU, random numbers drawn alone and together differ: there
    they run in evaluation mode. Parameters and buffers keep their values.
    """
    modes = [(module, module.training) for module in stack.modules()]
    devices = [] if example.device.type == "cpu" else [example.device]
    if devices:
        stack.eval()
    each = example.expand(len(stack.networks), *example.shape)
    try:
        with torch.random.fork_rng(devices, device_type=example.device.type):
            alone = _restored(weights, lambda: _alone(stack, weights, example))
            for x, shared in ((example, True), (each, False)):
                together = _restored(weights, lambda: _together(stack, weights, x, shared))  # noqa: B023
                if reason := _difference(alone, together):
                    again = _restored(weights, lambda: _alone(stack, weights, example))
                    raise NotStackable(UNSTEADY if _difference(alone, again) else reason)
    finally:
        stack.generators = None
        for module, training in modes:
            module.training = training


def _restored(weights: Weights, call: Callable[[], tuple[Tensor, list[Tensor]]]) -> Pass:
    """Return what a pass makes, and give the buffers their values back."""
    before = [each.clone() for each in weights.buffers]
    try:
        return Pass(*call(), [each.clone() for each in weights.buffers])
    finally:
        with torch.no_grad():
            for each, value in zip(weights.buffers, before, strict=True):
                each.copy_(value)


def _alone(stack: Stack, weights: Weights, example: Tensor) -> tuple[Tensor, list[Tensor]]:
    outputs, gradients = list[Tensor](), list[list[Tensor]]()
    for place, network in enumerate(stack.networks):
        torch.manual_seed(SEED)
        own = [part[place] for leaf, part in weights.pairs() if _learns(leaf, part)]
        try:
            found, of_network = _pass(lambda: network(example), own)  # noqa: B023
        except Exception as error:
            shape = list(example.shape)
            raise NotStackable(f"networks that do not take an example {shape}: {_text(error)}") from error
        if outputs and found.shape != outputs[0].shape:
            shapes = f"{list(outputs[0].shape)} and {list(found.shape)}"
            raise NotStackable(f"networks that return outputs of different shapes for one example, {shapes}")
        outputs.append(found)
        gradients.append(of_network)
    return torch.stack(outputs), [torch.stack(each) for each in zip(*gradients, strict=True)]


def _together(stack: Stack, weights: Weights, x: Tensor, shared: bool) -> tuple[Tensor, list[Tensor]]:
    stack.generators = [torch.Generator(x.device).manual_seed(SEED) for _ in stack.networks]
    try:
        return _pass(
            lambda: stack(x, shared=shared), [leaf for leaf, part in weights.pairs() if _learns(leaf, part)]
        )
    except NotStackable:
        raise
    except Exception as error:
        raise NotStackable(
            f"a forward pass that fails for several networks at once: {_text(error)}"
        ) from error


def _learns(leaf: Tensor, part: Sequence[Tensor]) -> bool:
    return isinstance(leaf, nn.Parameter) and all(own.requires_grad for own in part)


def _pass(forward: Callable[[], Tensor], parameters: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Return the outputs of a forward pass, and the gradients of the sum of their squares."""
    with torch.set_grad_enabled(bool(parameters)):
        found = forward()
    if not isinstance(found, Tensor):
        raise NotStackable(f"networks that return {type(found).__name__} instead of a tensor")
    gradients: Sequence[Tensor | None] = [None] * len(parameters)
    if found.requires_grad:
        gradients = torch.autograd.grad(found.square().sum(), parameters, allow_unused=True)
    filled = [
        torch.zeros_like(own) if each is None else each
        for own, each in zip(parameters, gradients, strict=True)
    ]
    return found.detach(), filled


def _text(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _difference(alone: Pass, together: Pass) -> str:
    """Return how tensors differ by more than half of their digits, which rounding explains; or ""."""
    names = ["outputs", *["buffers"] * len(alone.buffers)]
    for name, one, all_ in zip(
        names, [alone.outputs, *alone.buffers], [together.outputs, *together.buffers], strict=True
    ):
        if one.shape != all_.shape:
            return f"{name} {list(all_.shape)} of all at once and {list(one.shape)} alone"
        digits = torch.finfo(one.dtype).eps ** 0.5 if one.is_floating_point() else 0.0
        one, all_ = one.double(), all_.double()
        limit = digits * max(1.0, float(one.abs().max())) if one.numel() else 0.0
        if not torch.allclose(one, all_, rtol=0, atol=limit, equal_nan=True):
            apart = float((one - all_).abs().max())
            return f"{name} of all at once that differ by {apart:.3g} from those alone"
    pairs = zip(alone.gradients, together.gradients, strict=True)
    apart, norm = _norm([one - all_ for one, all_ in pairs]), _norm(alone.gradients)
    if apart > SAME * norm:
        return f"gradients of all at once that differ by {apart / norm:.1%} from those alone"
    return ""


def _norm(tensors: Sequence[Tensor]) -> float:
    return float(torch.stack([each.double().norm() for each in tensors]).norm()) if tensors else 0.0
