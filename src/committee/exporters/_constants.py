"""Constants of a program: what depends on weights alone is computed before the program is converted."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

from committee.exporters._program import record_program


def fold_constants(program: Any, inputs: Sequence[Tensor], who: str) -> Any:
    """Return a program of fixed shapes in which values that depend on weights alone are stored.

    These may use operators that a runtime lacks, such as the bicubic resizing of position embeddings.

    Parameters
    ----------
    program : ExportedProgram
    inputs : sequence of Tensor
        Inputs of the program.
    who : str
        Format and name of the model, for the error.
    """
    module = program.module()
    with torch.no_grad():
        known = _known(module)
    for number, (node, value) in enumerate(known.items()):
        if value is None:  # an assertion about a constant, which would keep it
            module.graph.erase_node(node)
        if node.op == "get_attr" or not isinstance(value, Tensor) or known.keys() >= node.users.keys():
            continue
        module.register_buffer(f"folded_{number}", value.detach().clone())
        with module.graph.inserting_before(node):
            node.replace_all_uses_with(module.graph.get_attr(f"folded_{number}"))
    module.graph.eliminate_dead_code()
    module.recompile()
    return record_program(module, inputs, None, who)


def _known(module: fx.GraphModule) -> dict[fx.Node, Any]:
    """Return the values of the weights, and of the nodes that depend on nothing else."""
    known: dict[fx.Node, Any] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            known[node] = operator.attrgetter(node.target)(module)
        elif node.op == "call_function" and node.all_input_nodes and known.keys() >= {*node.all_input_nodes}:
            known[node] = node.target(
                *fx.node.map_arg(node.args, known.get), **fx.node.map_arg(node.kwargs, known.get)
            )
    return known
