"""Permutations of channels that do not change the function of a network, found in its traced graph."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn.modules.batchnorm import _BatchNorm

from committee.errors import TrainingError
from committee.training.fit.weight_trackers import Weights

Permutations = dict[int, NDArray[np.int64]]
"""Group -> the channel that each channel is replaced by."""

CHANNELWISE_MODULES = {"activation", "pooling", "dropout", "padding", "flatten", "linear", "upsampling"}
"""Files of torch.nn with modules that treat all channels alike; only those without parameters do."""
MIXING = {"Softmax", "Softmax2d", "Softmin", "LogSoftmax", "GLU", "Unflatten", "MultiheadAttention"}
"""Modules of these files that do not."""
CHANNELWISE = {
    *("relu", "relu_", "relu6", "leaky_relu", "elu", "gelu", "silu", "mish", "sigmoid", "tanh", "hardswish"),
    *("hardsigmoid", "hardtanh", "softplus", "dropout", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"),
    *("adaptive_max_pool2d", "interpolate", "pad", "mean", "amax", "flatten", "view", "reshape", "squeeze"),
    *("contiguous", "clone", "float", "to", "neg", "square", "abs", "clamp", "boolean_dispatch"),
}
"""Functions and methods that treat all channels alike."""
BINARY = {"add", "iadd", "mul", "imul", "sub", "isub", "truediv", "add_", "mul_", "maximum", "minimum"}
"""Functions of two tensors whose channels correspond."""


@dataclass(frozen=True)
class Segment:
    """Consecutive entries along an axis: the channels of one group, each with `block` entries."""

    group: int
    size: int
    block: int = 1


Axis = tuple[Segment, ...]
"""The segments that an axis consists of."""


@dataclass
class Symmetries:
    """The permutations of channels that leave the outputs of a network unchanged.

    A group is a set of channels that must be permuted together everywhere: in the weights that compute them,
    in their batch norms, and in the weights that read them. Channels that residual connections add are in one
    group.

    Attributes
    ----------
    sizes : dict of int to int
        Number of channels of each group.
    axes : dict
        Name in the state dict and dimension -> segments of that axis.
    """

    sizes: dict[int, int] = field(default_factory=dict)
    axes: dict[tuple[str, int], Axis] = field(default_factory=dict)

    def identity(self) -> Permutations:
        """Return the permutations that change nothing."""
        return {group: np.arange(size) for group, size in self.sizes.items()}

    def permuted(self, state: Mapping[str, Tensor], chosen: Permutations) -> Weights:
        """Return a state dict with permuted channels; the network computes the same function."""
        result = dict(state)
        for (key, dim), axis in self.axes.items():
            index = torch.from_numpy(_index(axis, chosen))
            result[key] = result[key].index_select(dim, index.to(result[key].device))
        return result


def _index(axis: Axis, chosen: Permutations) -> NDArray[np.int64]:
    """Return the entry that each entry of an axis is replaced by."""
    parts, start = [], 0
    for each in axis:
        order = chosen.get(each.group, np.arange(each.size))
        parts.append(start + (order[:, None] * each.block + np.arange(each.block)).ravel())
        start += each.size * each.block
    return np.concatenate(parts)


def find_symmetries(network: nn.Module, images: Tensor, who: str) -> Symmetries:
    """Return the permutations of channels that leave the outputs of a network unchanged.

    Convolutions, linear layers, batch norms, activations, pooling, sums and concatenations are understood;
    the channels that anything else reads are not permuted. The result is verified by random permutations.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode, on the CPU.
    images : float32 tensor `[B, c, H, W]`
        Normalized images, for shapes and for the verification.
    who : str
        Name of the network, for errors.

    Raises
    ------
    TrainingError
        The network cannot be traced, or no channels can be permuted.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 2))
    >>> find_symmetries(net.eval(), torch.randn(2, 3, 8, 8), "net").sizes
    {0: 8}
    """
    try:
        graph = fx.GraphModule(network, _Tracer().trace(network))
        ShapeProp(graph).propagate(images)
    except Exception as error:  # tracing runs the code of the network, which may fail in any way
        raise _refusal(who, network, f"a network that cannot be traced ({type(error).__name__})") from error
    found = _Finder(graph).found()
    if not found.sizes:
        raise _refusal(who, network, "none")
    if not _is_same_function(network, found, images):
        raise _refusal(who, network, "channels with another meaning than in convolutional networks")
    return found


def _refusal(who: str, network: nn.Module, got: str) -> TrainingError:
    kind = type(getattr(network, "net", network)).__name__
    return TrainingError(f"{who} ({kind})", expected="channels that can be permuted", got=got)


def _is_same_function(network: nn.Module, found: Symmetries, images: Tensor) -> bool:
    """Return whether random permutations leave the outputs unchanged, in double precision."""
    twin, generator = copy.deepcopy(network).double(), np.random.default_rng(0)
    chosen = {group: generator.permutation(size) for group, size in found.sizes.items()}
    with torch.no_grad():
        before = twin(images.double())
        twin.load_state_dict(found.permuted(twin.state_dict(), chosen))
        after = twin(images.double())
    return bool(torch.allclose(before, after, rtol=1e-6, atol=1e-8))


class _Tracer(fx.Tracer):
    """Traces into all modules but those whose weights are understood."""

    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        own = isinstance(module, nn.Conv2d | nn.Linear | _BatchNorm)
        return own or super().is_leaf_module(module, qualified_name)


class _Finder:
    """One pass over a graph, which follows the channels of each tensor."""

    def __init__(self, graph: fx.GraphModule) -> None:
        self.graph, self.modules = graph, dict(graph.named_modules())
        self.parent: list[int] = []
        self.size: list[int] = []
        self.frozen: set[int] = set()
        self.axes: dict[tuple[str, int], Axis] = {}
        self.channels: dict[fx.Node, Axis | None] = {}

    def found(self) -> Symmetries:
        """Return the groups that may be permuted, and all axes on which they occur."""
        for node in self.graph.graph.nodes:
            self.channels[node] = self._visit(node)
        fixed = {self._root(group) for group in self.frozen}
        groups = dict.fromkeys(self._root(group) for group in range(len(self.parent)))
        free = [root for root in groups if root not in fixed and self.size[root] > 1]
        number = {root: n for n, root in enumerate(free)}
        axes = {
            place: tuple(Segment(number.get(self._root(s.group), -1), s.size, s.block) for s in axis)
            for place, axis in self.axes.items()
        }
        used = {place: axis for place, axis in axes.items() if any(s.group >= 0 for s in axis)}
        return Symmetries({n: self.size[root] for root, n in number.items()}, used)

    def _visit(self, node: fx.Node) -> Axis | None:
        """Return the channels of the output of a node; None if they are not followed."""
        inputs = [each for each in node.all_input_nodes if self.channels.get(each) is not None]
        if "tensor_meta" not in node.meta and node.op != "output":
            return None  # a shape, or a part of one
        name = _name(node.target)
        if node.op == "call_module":
            return self._module(node, self.modules[str(node.target)], str(node.target))
        if node.op in ("call_function", "call_method"):
            if name in CHANNELWISE and len(node.all_input_nodes) > 0:
                return self._same(node)
            if name in BINARY:
                return self._binary(node)
            if name in ("cat", "concat"):
                return self._cat(node)
        return self._stop(inputs)

    def _module(self, node: fx.Node, module: nn.Module, path: str) -> Axis | None:
        source = node.all_input_nodes[0]
        axis = self.channels.get(source)
        if isinstance(module, nn.Conv2d) and module.groups == 1:
            return self._layer(path, module, axis, module.in_channels, module.out_channels)
        if isinstance(module, nn.Linear) and len(_shape(source)) == 2:
            return self._layer(path, module, axis, module.in_features, module.out_features)
        own = list(chain(module.parameters(), module.buffers()))
        depthwise = (
            isinstance(module, nn.Conv2d) and module.groups == module.in_channels == module.out_channels
        )
        whole = isinstance(module, _BatchNorm) and len(own) == len(module.state_dict()) == len(_own(module))
        if axis is not None and (depthwise or whole):
            for name, value in _own(module).items():
                if value.ndim:  # not the counter of batches
                    self._bind(f"{path}.{name}", 0, axis, value.shape[0])
            return axis
        kind = type(module)
        parts = kind.__module__.rpartition(".")
        if parts[0] == "torch.nn.modules" and parts[2] in CHANNELWISE_MODULES and not own:
            return self._stop([source]) if kind.__name__ in MIXING else self._same(node)
        return self._stop([source])

    def _layer(self, path: str, module: nn.Module, axis: Axis | None, inputs: int, outputs: int) -> Axis:
        """Bind the axes of a weight to the channels that it reads, and to new ones that it computes."""
        if axis is not None:
            self._bind(f"{path}.weight", 1, axis, inputs)
        new = (Segment(self._new(outputs), outputs),)
        for name in _own(module):
            self._bind(f"{path}.{name}", 0, new, outputs)
        return new

    def _same(self, node: fx.Node) -> Axis | None:
        """Return the channels of a node that treats all channels of its first input alike."""
        source = node.all_input_nodes[0]
        axis, before, after = self.channels.get(source), _shape(source), _shape(node)
        if axis is None or len(after) < 2 or len(node.all_input_nodes) > 1:
            return self._stop([each for each in node.all_input_nodes if self.channels.get(each) is not None])
        if after[1] == before[1]:
            return axis
        block = math.prod(before[2:])
        if len(after) == 2 and after[1] == before[1] * block:  # flattened
            return tuple(Segment(each.group, each.size, each.block * block) for each in axis)
        return self._stop([source])

    def _binary(self, node: fx.Node) -> Axis | None:
        """Return the channels of a sum or product, whose inputs have the same."""
        sources = node.all_input_nodes
        axes = [self.channels.get(each) for each in sources]
        if len(sources) == 1 and len(node.args) == 2 and not isinstance(node.args[1], fx.Node):
            return axes[0]
        wide = [
            axis for each, axis in zip(sources, axes, strict=True) if _shape(each)[1:2] == _shape(node)[1:2]
        ]
        if len(sources) == 2 and len(wide) == 2 and all(axis is not None for axis in axes):
            return self._united(*(axis for axis in axes if axis is not None))
        if len(sources) == 2 and len(wide) == 1 and len(_shape(sources[0])) == len(_shape(sources[1])):
            return wide[0]  # the other has a single channel
        return self._stop(sources)

    def _cat(self, node: fx.Node) -> Axis | None:
        dim = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
        given = node.args[0] if node.args else node.kwargs.get("tensors")
        if dim not in (1, 1 - len(_shape(node))) or not isinstance(given, list | tuple):
            return self._stop(node.all_input_nodes)
        sources = [each for each in given if isinstance(each, fx.Node)]
        return tuple(chain.from_iterable(self._known(each) for each in sources))

    def _known(self, node: fx.Node) -> Axis:
        """Return the channels of a node, or new ones that may not be permuted."""
        axis = self.channels.get(node)
        if axis is None:
            axis = (Segment(self._new(_shape(node)[1]), _shape(node)[1]),)
            self._freeze(axis)
        return axis

    def _bind(self, key: str, dim: int, axis: Axis, entries: int) -> None:
        """Record the channels along an axis of a weight, which may be used in several places."""
        if sum(each.size * each.block for each in axis) != entries:
            self._freeze(axis)
        elif (key, dim) in self.axes:
            self._united(self.axes[key, dim], axis)
        else:
            self.axes[key, dim] = axis

    def _united(self, one: Axis, other: Axis) -> Axis:
        if [(each.size, each.block) for each in one] != [(each.size, each.block) for each in other]:
            self._freeze(one)
            self._freeze(other)
        else:
            for first, second in zip(one, other, strict=True):
                self.parent[self._root(second.group)] = self._root(first.group)
        return one

    def _stop(self, nodes: Iterable[fx.Node]) -> Axis | None:
        """Freeze the channels of nodes, since what reads them is not understood; return no channels."""
        for each in nodes:
            self._freeze(self.channels.get(each) or ())
        return None

    def _freeze(self, axis: Axis) -> None:
        self.frozen |= {each.group for each in axis}

    def _new(self, size: int) -> int:
        self.parent.append(len(self.parent))
        self.size.append(size)
        return len(self.parent) - 1

    def _root(self, group: int) -> int:
        while self.parent[group] != group:
            group = self.parent[group]
        return group


def _own(module: nn.Module) -> dict[str, Tensor]:
    """Return the parameters and buffers of a module itself, by name."""
    every = chain(module.named_parameters(recurse=False), module.named_buffers(recurse=False))
    return {name: value for name, value in every if value is not None}


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(getattr(node.meta.get("tensor_meta"), "shape", ()))


def _name(target: Any) -> str:
    return target if isinstance(target, str) else str(getattr(target, "__name__", ""))
