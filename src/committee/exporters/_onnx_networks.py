"""Networks of one architecture, which an ONNX graph records once and contains with the weights of each."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import onnx_ir as ir
import torch
from torch import Tensor, nn

from committee.backbones.base import Backbone
from committee.models.stacked.alike import groups, tensors

DOMAIN, OPERATION = "committee", "Network"
PLACE = "place"
"""Attribute of the operation: the position of the network."""
LAYERS = 40
"""So many layers take as long to record as it takes to begin."""
SCOPES = "pkg.torch.onnx.name_scopes"


class _Call(NamedTuple):
    """The call of a network: its path in the module, and what it gets and returns."""

    path: str
    network: Backbone
    images: Tensor
    outputs: Tensor


class Alike:
    """The networks in a module that have the architecture of another one.

    Recording a network takes seconds, and its graph depends on the architecture alone. So a copy of the
    module is recorded, in which each of these networks is one operation. In its place, a copy of the graph of
    the first network of the group is put, with the weights of the network.

    Networks of maps, with hooks, or that are called with images of several sizes are recorded with the
    module: their graphs depend on more. So are networks of few layers, for which this saves nothing, and
    those in a module that cannot be copied.

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode; it is run once, and not changed.
    images : sequence of Tensor
        What it is called with.

    Attributes
    ----------
    model : torch.nn.Module
        What is recorded: the copy, or the module itself if there are no such networks.
    """

    def __init__(self, model: nn.Module, images: Sequence[Tensor]) -> None:
        self._groups = [group for group in _groups(_calls(model, images)) if _layers(group) >= LAYERS]
        self._calls = [call for group in self._groups for call in group]
        shells = [_shell(call.network) for call in self._calls]
        try:
            self.model = _with_shells(model, self._calls, shells) if shells else model
        except Exception:  # an attribute of the module, such as a lock, cannot be copied
            self.model, self._groups, self._calls, shells = model, [], [], []
        # While a module is recorded, torch may put a proxy in its place, which has the same attributes.
        self._places = {id(vars(shell)): place for place, shell in enumerate(shells)}

    @property
    def operations(self) -> dict[Callable[..., Any], Callable[..., Any]]:
        """What is recorded in place of `Backbone.forward`; see `committee.base.tracing.tracing`."""
        return {Backbone.forward: self._forward} if self._calls else {}

    def _forward(self, network: Backbone, images: Tensor) -> Tensor:
        place = self._places.get(id(vars(network)))
        if place is None:
            recorded: Tensor = Backbone.forward.__wrapped__(network, images)  # type: ignore[attr-defined]
            return recorded
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::{OPERATION}",
            [images],
            {PLACE: place},
            dtype=torch.float32,
            shape=[images.shape[0], *self._calls[place].outputs.shape[1:]],
            version=1,
        )

    def put(self, graph: ir.Graph, record: Callable[[Backbone, Tensor], ir.Graph]) -> None:
        """Replace the operations in a graph with the networks.

        Parameters
        ----------
        graph : ir.Graph
            It is changed.
        record : callable
            Returns the graph of a network for such images.
        """
        graphs = [
            each
            for group in self._groups
            for each in [record(group[0].network, group[0].images)] * len(group)
        ]
        nodes = [node for node in graph if (node.domain, node.op_type) == (DOMAIN, OPERATION)]
        for number, node in enumerate(nodes):
            place = node.attributes[PLACE].as_int()
            _put(graph, node, self._calls[place], graphs[place].clone(), f"network_{number}.")
        graph.opset_imports.pop(DOMAIN, None)


def _calls(model: nn.Module, images: Sequence[Tensor]) -> list[_Call]:
    """Return a call of each network that may be recorded apart."""
    paths = {
        part: name
        for name, part in model.named_modules()
        if isinstance(part, Backbone) and not part.output.maps and not _has_hooks(part)
    }
    seen: dict[Backbone, list[_Call]] = {part: [] for part in paths}

    def keep(part: Any, inputs: tuple[Tensor, ...], outputs: Tensor) -> None:
        seen[part].append(_Call(paths[part], part, inputs[0], outputs))

    handles = [part.register_forward_hook(keep) for part in paths]
    try:
        if len(paths) > 1:
            with torch.no_grad():
                model(*images)
    finally:
        for handle in handles:
            handle.remove()
    return [
        calls[0]
        for calls in seen.values()
        if len({*map(_form, calls)}) == 1 and calls[0].outputs.dtype == torch.float32
    ]


def _layers(group: Sequence[_Call]) -> int:
    """Return the number of layers that need not be recorded if the first network serves the whole group."""
    return sum(not [*part.children()] for part in group[0].network.modules()) * (len(group) - 1)


def _shell(network: Backbone) -> Backbone:
    """Return a network without its layers, whose weights would be recorded too."""
    shell = copy.copy(network)
    shell._modules = {}
    return shell


def _with_shells(model: nn.Module, calls: Sequence[_Call], shells: Sequence[Backbone]) -> nn.Module:
    """Return a copy of a module with the same tensors, in which shells are in the place of the networks."""
    known: dict[int, Any] = {id(tensor): tensor for _, tensor in tensors(model)}
    known |= {id(call.network): shell for call, shell in zip(calls, shells, strict=True)}
    return copy.deepcopy(model, known)


def _groups(calls: Sequence[_Call]) -> list[list[_Call]]:
    """Return the calls for which one graph serves, together."""
    found: dict[Any, list[_Call]] = {}
    for number, places in enumerate(groups([call.network for call in calls])):
        for place in places:
            found.setdefault((number, _form(calls[place])), []).append(calls[place])
    return list(found.values())


def _has_hooks(network: Backbone) -> bool:
    """Return whether a layer has forward hooks, which may do something else for each network."""
    return any(part._forward_hooks or part._forward_pre_hooks for part in network.modules())


def _form(call: _Call) -> tuple[Any, ...]:
    """Return what calls must have in common, so that one graph serves them."""
    return call.images.shape[1:], call.images.dtype, call.outputs.shape[1:]


def _put(graph: ir.Graph, node: ir.Node, call: _Call, found: ir.Graph, prefix: str) -> None:
    weights = dict(tensors(call.network, unique=False))
    for name in list(found.initializers):
        value = found.initializers.pop(name)
        if name in weights:
            value.const_value = ir.tensor(weights[name].detach(), name=name)
        value.name = prefix + name
        graph.initializers[value.name] = value
    (images,), (result,), nodes = found.inputs, found.outputs, list(found)
    found.outputs.clear()
    found.remove(nodes)
    for each in nodes:
        scopes = ast.literal_eval(each.metadata_props.get(SCOPES, "['']"))
        each.metadata_props[SCOPES] = repr([call.path, *scopes[1:]])
        for output in each.outputs:
            output.name = f"{prefix}{output.name}"
    ir.convenience.replace_all_uses_with(images, cast("ir.Value", node.inputs[0]))
    graph.insert_before(node, nodes)
    ir.convenience.replace_all_uses_with(node.outputs[0], result, replace_graph_outputs=True)
    graph.remove(node, safe=True)
