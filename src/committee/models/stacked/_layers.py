"""Layers with parameters, and layers that treat each sample alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from committee.models.stacked.fallback import Rule, Run, mapped
from committee.models.stacked.many import (
    Many,
    aligned,
    channels_apart,
    channels_last,
    channels_together,
    expanded,
    in_memory_order,
    is_many,
    ndim,
    per_channel,
    per_sample,
)

Call = Callable[..., Any]
Args = Sequence[Any]


class StackedLinear(torch.autograd.Function):
    """`x @ weight.T + bias` of `[M, N, I]` and `[M, O, I]`.

    The gradient of the weights is computed in their layout, so that it is not copied.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,), (x, weight) = gradients, ctx.saved_tensors
        of_x, of_weight, of_bias = ctx.needs_input_grad
        return (
            torch.bmm(gradient, weight) if of_x else None,
            torch.bmm(gradient.transpose(1, 2), x) if of_weight else None,
            gradient.sum(1) if of_bias else None,
        )


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    columns = weight.transpose(1, 2)
    return torch.bmm(x, columns) if bias is None else torch.baddbmm(bias.unsqueeze(1), x, columns)


def linear(run: Run, func: Call, args: Args, kwargs: dict[str, Any]) -> Tensor:
    """Multiply the matrices of all networks at once; one matrix, if all read the same input."""
    x, weight, bias = _linear(*args, **kwargs)
    if not is_many(weight):
        return mapped(run, func, args, kwargs)
    if not is_many(x):
        joint = functional.linear(x, weight.flatten(0, 1), _flat(bias, run.count))
        return joint.unflatten(-1, (run.count, -1)).movedim(-2, 0)
    rows = x.reshape(run.count, -1, x.shape[-1])
    bias = None if bias is None else expanded(bias, run.count)
    learns = torch.is_grad_enabled() and not torch.is_autocast_enabled(x.device.type)
    out = StackedLinear.apply(rows, weight, bias) if learns else _product(rows, weight, bias)
    return out.reshape(*x.shape[:-1], -1)


def _linear(
    input: Tensor, weight: Tensor, bias: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor | None]:
    return input, weight, bias


def _flat(bias: Tensor | None, count: int) -> Tensor | None:
    """Return `[M * C]` of `[M, C]`, or of `[C]` that all share."""
    return None if bias is None else expanded(bias, count).flatten(0, 1)


def convolution(run: Run, func: Call, args: Args, kwargs: dict[str, Any]) -> Tensor:
    """Convolve with the channels of all networks side by side, as groups."""
    x, weight, bias, stride, padding, dilation, groups = _convolution(*args, **kwargs)
    dims = ndim(weight) - 2
    if ndim(x) == dims + 1 or (is_many(x) and is_many(weight) and _is_mostly_weights(x, weight)):
        return run.one_by_one(func, args, kwargs)
    if not is_many(x) and groups > 1:
        x = expanded(x, run.count)
    apart = x.ndim == dims + 3
    pixels = channels_last(channels_together(x) if apart else x)
    filters = expanded(weight, run.count).flatten(0, 1)
    parts = groups * run.count if apart else 1
    out = func(pixels, filters, _flat(bias, run.count), stride, padding, dilation, parts)
    return channels_apart(out, run.count)


def _is_mostly_weights(x: Tensor, weight: Tensor) -> bool:
    """Return whether a convolution on a CPU reads more weights than pixels.

    It then takes longer in groups, with the channels innermost, than alone (`benchmarks/stacks.py`).
    """
    return x.device.type == "cpu" and weight.numel() > 2 * x.numel()


def _convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> tuple[Any, ...]:
    return input, weight, bias, stride, padding, dilation, groups


def batch_norm(run: Run, func: Call, args: Args, kwargs: dict[str, Any]) -> Tensor:
    """Normalize the channels of all networks side by side, each with its own statistics."""
    x, mean, variance, weight, bias, training, momentum, eps = _batch_norm(*args, **kwargs)
    mean, variance, weight, bias = (_flat(each, run.count) for each in (mean, variance, weight, bias))
    pixels = channels_together(expanded(x, run.count))
    out = functional.batch_norm(pixels, mean, variance, weight, bias, training, momentum, eps)
    return channels_apart(out, run.count)


def _batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Any, ...]:
    return input, running_mean, running_var, weight, bias, training, momentum, eps


def layer_norm(run: Run, func: Call, args: Args, kwargs: dict[str, Any]) -> Tensor:
    """Normalize, then scale by the weights of each network."""
    x, shape, weight, bias, eps = _layer_norm(*args, **kwargs)
    x = expanded(x, run.count)
    out = in_memory_order(x, len(shape), lambda rows: functional.layer_norm(rows, shape, None, None, eps))
    if weight is None:
        return out
    out, weight, *rest = aligned([out.as_subclass(Many), weight, *([] if bias is None else [bias])])
    return torch.addcmul(rest[0], out, weight) if rest else out * weight


def _layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> tuple[Any, ...]:
    return input, normalized_shape, weight, bias, eps


def group_norm(run: Run, func: Call, args: Args, kwargs: dict[str, Any]) -> Tensor:
    """Normalize the groups of the channels of all networks side by side."""
    x, groups, weight, bias, eps = _group_norm(*args, **kwargs)
    pixels = channels_together(expanded(x, run.count))
    weight, bias = _flat(weight, run.count), _flat(bias, run.count)
    return channels_apart(functional.group_norm(pixels, groups * run.count, weight, bias, eps), run.count)


def _group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> tuple[Any, ...]:
    return input, num_groups, weight, bias, eps


def of_samples(dims: int | None = None, each: Callable[..., Tensor] = per_sample) -> Rule:
    """Return the rule of an operation on each sample alone.

    Parameters
    ----------
    dims : int, optional
        Number of dimensions of a sample, if the operation takes one without a batch.
    each : callable
        `per_sample`, or `per_channel` if each channel is treated alone.
    """

    def rule(run: Run, func: Call, args: Args, kwargs: dict[str, Any]) -> Any:
        others = any(map(is_many, [*args[1:], *kwargs.values()]))
        if not args or others or kwargs.get("return_indices"):
            return mapped(run, func, args, kwargs)
        if dims is not None and ndim(args[0]) == dims:
            return func(*args, **kwargs)
        return each(args[0], lambda samples: func(samples, *args[1:], **kwargs))

    return rule


def pad(run: Run, func: Call, args: Args, kwargs: dict[str, Any]) -> Any:
    x, rest = args[0], args[1:]
    mode = rest[1] if len(rest) > 1 else kwargs.get("mode", "constant")
    if mode == "constant":
        return func(x, *rest, **kwargs)
    return per_sample(x, lambda each: func(each, *rest, **kwargs))


def attention(run: Run, func: Call, args: Args, kwargs: dict[str, Any]) -> Any:
    """Compute the attention of the heads of all networks as one batch."""
    rest = [*args[3:], *kwargs.values()]
    if kwargs.get("dropout_p", dict(enumerate(args)).get(4)):
        return run.one_by_one(func, args, kwargs)
    if not all(map(is_many, args[:3])) or any(isinstance(each, Tensor) for each in rest):
        return mapped(run, func, args, kwargs)
    query, key, value = (each.flatten(0, 1) for each in args[:3])
    return func(query, key, value, *args[3:], **kwargs).unflatten(0, (run.count, -1))


RULES: dict[str, Rule] = {
    "linear": linear,
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), convolution),
    "batch_norm": batch_norm,
    "layer_norm": layer_norm,
    "group_norm": group_norm,
    "scaled_dot_product_attention": attention,
    "pad": pad,
    **{
        f"{kind}{dims}d": of_samples(dims + 1, per_channel)
        for dims in (1, 2, 3)
        for kind in ("max_pool", "avg_pool", "lp_pool", "adaptive_avg_pool", "adaptive_max_pool")
    },
    **dict.fromkeys(("instance_norm", "interpolate", "upsample"), of_samples(each=per_channel)),
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle"), of_samples(3)),
    **dict.fromkeys(("unfold", "grid_sample"), of_samples()),
}
