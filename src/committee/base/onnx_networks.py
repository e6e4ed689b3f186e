"""The networks in an ONNX file that `committee` exported: their nodes, and a file of one of them."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from committee.errors import ExportError

NETWORK = "network/"
"""Prefix of the names of the nodes that belong to a network; the name of the network follows.
The other nodes are those of the preprocessing, the combiner and the softmax."""
PROBABILITIES = "probabilities"
"""Name of the output of files that predict classes."""


def read(file: Path) -> Any:
    """Return the model in an ONNX file, without branches and without the shapes that the exporter recorded.

    Quantization transposes weights, which contradicts recorded shapes; they are inferred again.
    """
    import onnx

    model = onnx.load(file)
    if any(node.op_type == "If" for node in model.graph.node):
        import onnx_ir

        from committee.base.onnx_branches import remove_branches

        found = onnx_ir.from_proto(model)
        remove_branches(found.graph)
        model = onnx_ir.to_proto(found)
    del model.graph.value_info[:]
    return model


def network_of(node: Any) -> str | None:
    """Return the name of the network that a node belongs to, or None."""
    if not node.name.startswith(NETWORK):
        return None
    return str(node.name).removeprefix(NETWORK).partition("/")[0]


def network_nodes(model: Any, who: str, networks: Collection[str] | None = None) -> list[Any]:
    """Return the nodes of a graph that belong to a network, or to one of some networks.

    Raises
    ------
    ExportError
        No node belongs to a network.
    """
    nodes = [node for node in model.graph.node if network_of(node) is not None]
    if not nodes:
        raise ExportError(
            who,
            expected="an ONNX file that this version of committee exported, with a network",
            got="no node of a network",
            todo="Export the model again: committee export --model-name NAME --formats onnx",
        )
    return [node for node in nodes if networks is None or network_of(node) in networks]


def network_names(file: Path, networks: Collection[str] | None = None) -> list[str]:
    """Return the names of the networks in a file, or of those among some networks."""
    nodes = network_nodes(read(file), str(file), networks)
    return list(dict.fromkeys(str(network_of(node)) for node in nodes))


def extract_network(file: Path, name: str, target: Path) -> bool:
    """Write one network of a file, with its preprocessing and a softmax, as a file of its own.

    Networks of numbers have no softmax. The output has the name of that of the file.

    Returns
    -------
    bool
        Whether the network has an output for each class or target; if not, nothing is written.
    """
    import onnx
    from onnx import TensorProto, helper

    model = onnx.shape_inference.infer_shapes(read(file))
    facts = {entry.key: entry.value for entry in model.metadata_props}
    classes = json.loads(facts["networks"])[name] or json.loads(facts["class_names"])
    logits = _first_output(model.graph, name)
    shape = {each.name: each.type.tensor_type.shape.dim for each in model.graph.value_info}.get(logits, ())
    if len(shape) != 2 or shape[1].dim_value != len(classes):
        return False
    found = onnx.utils.Extractor(model).extract_model([model.graph.input[0].name], [logits])
    output = model.graph.output[0].name
    link = {"op_type": "Softmax", "axis": 1} if output == PROBABILITIES else {"op_type": "Identity"}
    found.graph.node.append(helper.make_node(inputs=[logits], outputs=[output], name="link", **link))
    del found.graph.output[:]
    value = helper.make_tensor_value_info(output, TensorProto.FLOAT, ["batch", len(classes)])
    found.graph.output.append(value)
    helper.set_model_props(found, facts | {"name": name, "class_names": json.dumps(classes)})
    onnx.save(found, target)
    return True


def _first_output(graph: Any, name: str) -> str:
    """Return the first value of a network that other nodes read."""
    others = {value for node in graph.node if network_of(node) != name for value in node.input}
    nodes = (node for node in graph.node if network_of(node) == name)
    return next(value for node in nodes for value in node.output if value in others)
