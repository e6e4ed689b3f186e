"""Branches of an ONNX graph: what is not needed is not computed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import onnx_ir as ir


def add_branches(graph: ir.Graph) -> None:
    """Replace choices by one condition for all elements, as `when` records them, with branches (`If`).

    What only the first value of such a choice depends on moves into the branch that is taken if the condition
    is true.
    """
    # From the last node to the first: the nodes in a branch include the choices inside it.
    for node in reversed(graph):
        if node.graph is graph and _is_choice(node) and (moved := _nodes_only_for(node, graph)):
            _add_branch(graph, node, moved)


def remove_branches(graph: ir.Graph) -> None:
    """Replace branches that `add_branches` made with choices, so that all nodes are in one graph.

    Tools that know no branches, such as quantization, then see all networks; `add_branches` is the way back.
    """
    for node in list(graph):
        if node.op_type == "If" and len(node.outputs) == 1 and _is_made(node):
            _remove_branch(graph, node)


def _is_made(branch: ir.Node) -> bool:
    return [node.op_type for node in branch.attributes["else_branch"].as_graph()] == ["Identity"]


def _remove_branch(graph: ir.Graph, branch: ir.Node) -> None:
    then = branch.attributes["then_branch"].as_graph()
    (otherwise,) = branch.attributes["else_branch"].as_graph()
    remove_branches(then)
    value, result, nodes = then.outputs[0], branch.outputs[0], list(then)
    then.outputs.clear()
    then.remove(nodes)
    for name in list(then.initializers):
        graph.initializers[name] = then.initializers.pop(name)
    choice = ir.node("Where", [branch.inputs[0], value, otherwise.inputs[0]], name=_name(then))
    new = choice.outputs[0]
    new.name, new.shape, new.type = _name(then), result.shape, result.type
    graph.insert_before(branch, [*nodes, choice])
    ir.convenience.replace_all_uses_with(result, new, replace_graph_outputs=True)
    graph.remove(branch, safe=True)


def _name(then: ir.Graph) -> str:
    return (then.name or "choice").removesuffix("_then")


def _is_choice(node: ir.Node) -> bool:
    return node.op_type == "Where" and not node.domain and _rank(node.inputs[0]) == 0


def _rank(value: Any) -> int | None:
    return None if value.shape is None else value.shape.rank()


def _add_branch(graph: ir.Graph, node: ir.Node, moved: list[ir.Node]) -> None:
    condition, value, otherwise = cast("Sequence[ir.Value]", node.inputs)
    graph.remove(moved)
    then = ir.Graph([], [value], nodes=moved, name=f"{node.name}_then")
    _move_weights(graph, then)
    add_branches(then)
    copy = ir.node("Identity", [otherwise], name=f"{node.name}_otherwise")
    kept, result = copy.outputs[0], node.outputs[0]
    kept.name, kept.shape, kept.type = copy.name, result.shape, result.type
    branches = {"then_branch": then, "else_branch": ir.Graph([], [kept], nodes=[copy], name=copy.name)}
    graphs = {key: ir.AttrGraph(key, part) for key, part in branches.items()}
    branch = ir.node("If", [condition], graphs, name=f"{node.name}_if")
    new = branch.outputs[0]
    new.name, new.shape, new.type = f"{node.name}_result", result.shape, result.type
    graph.insert_before(node, branch)
    ir.convenience.replace_all_uses_with(result, new, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _move_weights(graph: ir.Graph, branch: ir.Graph) -> None:
    """Move the weights of a branch into it: a runtime does not prepare those of the graph around it."""
    nodes = set(branch)
    for name, value in list(graph.initializers.items()):
        users = {each.node for each in value.uses()}
        if users and users <= nodes and not value.is_graph_output():
            branch.initializers[name] = graph.initializers.pop(name)


def _nodes_only_for(choice: ir.Node, graph: ir.Graph) -> list[ir.Node]:
    """Return the nodes of a graph on which nothing but the first value of a choice depends, in order."""
    value = cast("ir.Value", choice.inputs[1])
    last = value.producer()
    if last is None or last.graph is not graph or len(value.uses()) > 1 or value.is_graph_output():
        return []
    found: set[ir.Node] = set()
    chosen: list[ir.Node] = []
    for node in reversed(graph):
        users = {each.node for output in node.outputs for each in output.uses()}
        kept = any(output.is_graph_output() for output in node.outputs)
        if node is last or (users and users <= found and not kept):
            found.add(node)
            chosen.append(node)
    return chosen[::-1]
