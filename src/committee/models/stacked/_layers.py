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
    channels_together,
    expanded,
    is_many,
    ndim,
    per_sample,
)

Call = Callable[..., Any]
Args = Sequence[Any]


def linear(run: Run, func: Call, args: Args, kwargs: dict[str, Any]) -> Tensor:
    """Multiply the matrices of all networks at once; one matrix, if all read the same input."""
    x, weight, bias = _linear(*args, **kwargs)
    if not is_many(weight):
        return expanded(functional.linear(x, weight) if bias is None else x @ weight.T + bias, run.count)
    if not is_many(x):
        joint = functional.linear(x, weight.flatten(0, 1), _flat(bias, run.count))
        return joint.unflatten(-1, (run.count, -1)).movedim(-2, 0)
    rows = x.reshape(run.count, -1, x.shape[-1])
    columns = weight.transpose(1, 2)
    if bias is None:
        out = torch.bmm(rows, columns)
    else:
        out = torch.baddbmm(expanded(bias, run.count).unsqueeze(1), rows, columns)
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
    single = ndim(x) == dims + 1
    x = x.unsqueeze(-dims - 2) if single else x
    if not is_many(x) and groups > 1:
        x = expanded(x, run.count)
    pixels = channels_together(x) if x.ndim == dims + 3 else x
    parts = groups * run.count if x.ndim == dims + 3 else 1
    filters = expanded(weight, run.count).flatten(0, 1)
    out = func(pixels, filters, _flat(bias, run.count), stride, padding, dilation, parts)
    out = channels_apart(out, run.count)
    return out.squeeze(1) if single else out


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
    return _scaled(functional.layer_norm(expanded(x, run.count), shape, None, None, eps), weight, bias)


def _layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> tuple[Any, ...]:
    return input, normalized_shape, weight, bias, eps


def group_norm(run: Run, func: Call, args: Args, kwargs: dict[str, Any]) -> Tensor:
    """Normalize the groups of each sample, then scale by the weights of each network."""
    x, groups, weight, bias, eps = _group_norm(*args, **kwargs)
    x = expanded(x, run.count)
    out = per_sample(x, lambda each: functional.group_norm(each, groups, None, None, eps))
    return _scaled(out, *(_of_channels(each, x.ndim - 3) for each in (weight, bias)))


def _group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> tuple[Any, ...]:
    return input, num_groups, weight, bias, eps


def _of_channels(each: Tensor | None, after: int) -> Tensor | None:
    """Return values of channels with singleton dimensions for what follows the channels."""
    if each is None:
        return None
    out = each.reshape(*each.shape, *[1] * after)
    return out.as_subclass(Many) if is_many(each) else out


def _scaled(out: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    if weight is None:
        return out
    out, weight, *rest = aligned([out.as_subclass(Many), weight, *([] if bias is None else [bias])])
    return torch.addcmul(rest[0], out, weight) if rest else out * weight


def of_samples(dims: int | None = None) -> Rule:
    """Return the rule of an operation on each sample alone, which takes `dims` dimensions without a batch."""

    def rule(run: Run, func: Call, args: Args, kwargs: dict[str, Any]) -> Any:
        x, *rest = args or (kwargs["input"],)
        kwargs = {key: value for key, value in kwargs.items() if key != "input"}
        if any(map(is_many, [*rest, *kwargs.values()])) or kwargs.get("return_indices"):
            return mapped(run, func, args, kwargs)
        if dims is not None and ndim(x) == dims:
            return func(x, *rest, **kwargs)
        return per_sample(x, lambda each: func(each, *rest, **kwargs))

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
        f"{kind}{dims}d": of_samples(dims + 1)
        for dims in (1, 2, 3)
        for kind in (
            "max_pool",
            "avg_pool",
            "lp_pool",
            "adaptive_avg_pool",
            "adaptive_max_pool",
            "instance_norm",
        )
    },
    **dict.fromkeys(("pixel_shuffle", "pixel_unshuffle"), of_samples(3)),
    **dict.fromkeys(("interpolate", "upsample", "unfold", "grid_sample"), of_samples()),
}
