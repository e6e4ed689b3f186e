"""Cutting of a traced network at an output stride: the layers whose feature maps are large enough."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call

SIDE = 256
"""Side of the images on which sizes of feature maps are measured."""
SMALLEST = 4
"""Smallest side of what counts as a feature map there."""
LARGEST = 64
"""Largest number of which sides of images may have to be multiples."""
COMPLETE = 0.8
"""Least share of the expected side of a feature map: convolutions without padding lose some pixels."""
LEAVES = ("torch.nn.", "torchvision.ops.")
"""Modules that are kept whole; some of them depend on the mode of training."""


class Cut(NamedTuple):
    """A place where a network can be cut: the only value there on which later layers depend."""

    node: fx.Node
    width: int


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return f"{type(m).__module__}.".startswith(LEAVES) and not isinstance(m, nn.Sequential)


class _Shapes(fx.Interpreter):
    """Runs a graph, and keeps the shapes of all values that are tensors."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if isinstance(value, Tensor):
            self.shapes[n] = tuple(value.shape)
        return value


class _Run(nn.Module):
    def __init__(self, interpreter: _Shapes) -> None:
        super().__init__()
        self.module, self.interpreter = interpreter.module, interpreter

    def forward(self, images: Tensor) -> None:
        self.interpreter.run(images)


def traced(net: nn.Module) -> fx.GraphModule:
    """Return the graph of a network; names of tensors do not change."""
    return fx.GraphModule(net, _Tracer().trace(net))


def cuts(graph: fx.GraphModule, channels: int, heads: Sequence[str]) -> dict[int, Cut]:
    """Return where a network can be cut: the last place of each output stride, before the head.

    Nothing is computed: the network runs on tensors without values.

    Parameters
    ----------
    graph : GraphModule
        From images `[B, channels, H, W]`.
    channels : int
    heads : sequence of str
        Names of the layers that compute the logits.
    """
    shapes = _shapes(graph, channels)
    found: dict[int, Cut] = {}
    reached = 1
    for node, alone in _places(graph.graph):
        if node.target in heads:
            break
        stride = _stride(shapes.get(node, ()))
        reached = max(reached, stride)
        if alone and stride == reached and not _is_pooling(graph, node):
            found[stride] = Cut(node, shapes[node][1])
    return found


def cut(graph: fx.GraphModule, place: Cut) -> fx.GraphModule:
    """Remove all layers after a place, so that the network returns the features there, in place."""
    nodes = graph.graph
    output = next(node for node in reversed(nodes.nodes) if node.op == "output")
    output.args = (place.node,)
    nodes.eliminate_dead_code()
    graph.recompile()
    graph.delete_all_unused_submodules()
    return graph


def multiple_of(net: nn.Module, channels: int, stride: int = 1) -> int | None:
    """Return the smallest number of which sides of images have to be multiples, or None if sides are fixed.

    It is the stride, or a larger number for networks with branches or windows of a larger one.

    Parameters
    ----------
    net : nn.Module
        From images `[B, channels, H, W]` to features of this stride, or to maps, which have a stride of 1.
    channels, stride : int
    """

    def fits(multiple: int) -> bool:
        height = (SIDE // multiple | 1) * multiple  # an odd number of times
        width = height + 2 * multiple
        try:
            rows, columns = dry_run(net, channels, height, width).shape[2:]
        except Exception:  # An assertion, or shapes that do not fit
            return False
        if stride == 1:
            return (rows, columns) == (height, width)
        return bool(rows * stride > height * COMPLETE and columns * stride > width * COMPLETE)

    doubled = (stride << power for power in range(8))
    return next((each for each in doubled if each <= LARGEST and fits(each)), None)


def dry_run(module: nn.Module, channels: int, height: int, width: int) -> Any:
    """Run a module on an image without values, in the mode of evaluation; the module does not change."""
    modes = {each: each.training for each in module.modules()}
    state = {name: tensor.to("meta") for name, tensor in module.state_dict().items()}
    try:
        module.eval()
        with torch.device("meta"), torch.no_grad():
            return functional_call(module, state, (torch.zeros(1, channels, height, width),))
    finally:
        for each, training in modes.items():
            each.training = training


def _shapes(graph: fx.GraphModule, channels: int) -> dict[fx.Node, tuple[int, ...]]:
    interpreter = _Shapes(graph)
    dry_run(_Run(interpreter), channels, SIDE, SIDE)
    return interpreter.shapes


def _stride(shape: Sequence[int]) -> int:
    """Return the side of the images divided by that of a square feature map, or 0 for other values."""
    is_map = len(shape) == 4 and shape[2] == shape[3] >= SMALLEST
    return 2 ** round(math.log2(SIDE / shape[2])) if is_map else 0


def _is_pooling(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Return whether a node makes maps of one fixed size, whatever the size of the images."""
    return node.op == "call_module" and isinstance(
        graph.get_submodule(str(node.target)), nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d
    )


def _places(graph: fx.Graph) -> Iterator[tuple[fx.Node, bool]]:
    """Yield each node, and whether later nodes depend on no earlier value than its own."""
    order = {node: place for place, node in enumerate(graph.nodes)}
    last_use = -1
    for place, node in enumerate(graph.nodes):
        yield node, last_use <= place and node.op not in ("placeholder", "get_attr")
        last_use = max([last_use, *(order[user] for user in node.users)])
