"""Removal of channels from a trained network (structured pruning)."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from committee.backbones.base import Backbone
from committee.backbones.narrow import narrow
from committee.errors import TrainingError
from committee.training.fit.symmetries import Permutations, Symmetries, find_symmetries
from committee.training.fit.weight_trackers import Weights

MULTIPLE = 8
"""Numbers of channels that are kept are multiples of it, if there are that many: they compute faster."""


def remove_channels(
    network: Backbone, images: Tensor, amount: float, who: str, streams: bool = False
) -> None:
    """Remove the channels with the smallest weights from a network, in place.

    The groups of channels are those that `find_symmetries` finds in the traced graph: what may be permuted
    together may be removed together. In each group, `torch.nn.utils.prune.ln_structured` chooses the channels
    by the L2 norm of the weights that compute them, and they are really removed from all tensors.

    Parameters
    ----------
    network : Backbone
        In evaluation mode, on the CPU.
    images : float32 tensor `[B, c, H, W]`
        Normalized images, for shapes and for the verification.
    amount : float
        Share of the channels of each group that is removed, between 0 and 1.
    who : str
        Name of the network, for errors.
    streams : bool
        Whether channels that several layers compute, as in the sums of a residual network, are removed too.

    Raises
    ------
    TrainingError
        The network cannot be traced, or no channels can be removed.

    References
    ----------
    Li et al., "Pruning filters for efficient ConvNets", 2017 (arXiv 1608.08710).

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from committee.backbones.base import Backbone
    >>> body = [nn.Conv2d(3, 32, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 2)]
    >>> network = Backbone(nn.Sequential(*body), ["4"]).eval()
    >>> remove_channels(network, torch.randn(2, 3, 8, 8), 0.5, "net")
    >>> network.net[0].out_channels, network(torch.randn(2, 3, 8, 8)).shape
    (16, torch.Size([2, 2]))
    """
    net = network.net
    try:
        symmetries = find_symmetries(net, images, who)
    except TrainingError as error:
        raise _refusal(who, net, error.got) from error
    kept = _kept(net, symmetries, amount, streams)
    if not kept:
        raise _refusal(who, net, "none")
    before = net.state_dict()
    state = symmetries.permuted(before, kept)
    masked = _without_readers(net, symmetries, kept)
    shapes = {key: list(value.shape) for key, value in state.items() if value.shape != before[key].shape}
    narrow(net, shapes)
    net.load_state_dict(state)
    network.shapes = {**network.shapes, **shapes}
    if not _is_same(masked, net, images):
        raise TrainingError(
            who, expected="a network without fixed numbers of channels", got="another function"
        )


def _refusal(who: str, net: nn.Module, got: str) -> TrainingError:
    return TrainingError(
        f"{who} ({type(net).__name__})",
        expected=f"a convolutional network with groups of more than {MULTIPLE} channels that can be removed",
        got=got,
        todo="Quantize it instead: committee compress",
    )


def _kept(net: nn.Module, symmetries: Symmetries, amount: float, streams: bool) -> Permutations:
    """Return the channels of each group that are kept, in their order, of the groups that lose some."""
    state, chosen = net.state_dict(), {}
    for group, size in symmetries.sizes.items():
        weights = _computing(net, symmetries, group)
        count = _number(size, amount)
        if not weights or count == size or (len(weights) > 1 and not streams):
            continue
        rows = [_rows_of(state[key], symmetries, key, group) for key in weights]
        chosen[group] = _largest(torch.cat(rows, dim=1), size - count)
    return chosen


def _computing(net: nn.Module, symmetries: Symmetries, group: int) -> list[str]:
    """Return the names of the weights that compute the channels of a group; depthwise ones pass them on."""
    found = []
    for (key, dim), axis in symmetries.axes.items():
        path, _, name = key.rpartition(".")
        module = net.get_submodule(path)
        layer = isinstance(module, nn.Conv2d | nn.Linear) and getattr(module, "groups", 1) == 1
        if layer and dim == 0 and name == "weight" and any(each.group == group for each in axis):
            found.append(key)
    return found


def _rows_of(weight: Tensor, symmetries: Symmetries, key: str, group: int) -> Tensor:
    """Return the part of a weight that computes the channels of a group, `[size, n]`."""
    start = 0
    for each in symmetries.axes[key, 0]:
        if each.group == group:
            return weight[start : start + each.size * each.block].reshape(each.size, -1)
        start += each.size * each.block
    raise KeyError(key)


def _number(size: int, amount: float) -> int:
    """Return the number of channels that are kept of `size`."""
    wanted = size * (1 - amount)
    return min(size, max(MULTIPLE, round(wanted / MULTIPLE) * MULTIPLE))


def _largest(weights: Tensor, removed: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the rows that are left when torch prunes `removed` of them."""
    holder = nn.Module()
    holder.register_parameter("weight", nn.Parameter(weights.clone()))
    prune.ln_structured(holder, "weight", amount=removed, n=2, dim=0)
    mask: Tensor = holder.weight_mask.bool().any(1)  # type: ignore[operator]
    return np.flatnonzero(mask.numpy())


def _without_readers(net: nn.Module, symmetries: Symmetries, kept: Permutations) -> nn.Module:
    """Return a copy of a network in which no layer reads the channels that are not kept."""
    twin = copy.deepcopy(net)
    state: Weights = dict(twin.state_dict())
    removed = {
        group: np.setdiff1d(np.arange(symmetries.sizes[group]), index) for group, index in kept.items()
    }
    for (key, dim), axis in symmetries.axes.items():
        start = 0
        for each in axis:
            if dim == 1 and each.group in removed:
                places = removed[each.group][:, None] * each.block + np.arange(each.block)
                state[key] = state[key].index_fill(1, torch.from_numpy(start + places.ravel()), 0)
            start += each.size * each.block
    twin.load_state_dict(state)
    return twin


def _is_same(masked: nn.Module, net: nn.Module, images: Tensor) -> bool:
    """Return whether two networks have the same outputs, in double precision."""
    with torch.no_grad():
        outputs = [copy.deepcopy(each).double()(images.double()) for each in (masked, net)]
    return bool(torch.allclose(outputs[0], outputs[1], rtol=1e-6, atol=1e-8))
