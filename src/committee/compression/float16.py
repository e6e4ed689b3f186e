"""Half precision of the networks in an ONNX file."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from committee.base.onnx_networks import network_nodes, read
from committee.compression import _onnx as files
from committee.compression.base import Compressor, Images

LARGEST = float(np.finfo(np.float16).max)
FLOAT_ONLY = ("Resize", "Range", "RandomNormalLike", "RandomUniformLike")
"""Operators with inputs that must be float32; they stay as they are."""


class Float16(Compressor):
    """Weights and computations of the networks in half precision; images, preprocessing and combiner are not.

    The file has half the size. A runtime with half-precision operations (GPUs) computes in them. onnxruntime
    on a CPU has few: it converts to float32 around the others, so the file is smaller, and not faster.

    See Also
    --------
    OnnxStatic : A quarter of the size.

    Examples
    --------
    >>> from committee.compression.float16 import Float16
    >>> Float16().folder, Float16().tolerance
    ('onnx_float16', 0.02)
    """

    folder = "onnx_float16"
    calibrated = False
    precision = "float16"
    tolerance = 0.02
    needs = ("onnx",)

    def compress(
        self, file: Path, images: Images, folder: Path, networks: Collection[str] | None = None
    ) -> Path:
        """Write the file in half precision; see the base class."""
        files.require_packages(self.needs, self.extra, "half precision of an ONNX file")
        import onnx

        model = onnx.shape_inference.infer_shapes(read(file))
        inside = [n for n in network_nodes(model, str(file), networks) if n.op_type not in FLOAT_ONLY]
        _Half(model, inside).convert()
        del model.graph.value_info[:]
        return files.write(model, folder)


class _Half:
    """The conversion of some nodes of a graph; a value `v` is named `v_half` in half precision."""

    def __init__(self, model: Any, inside: Iterable[Any]) -> None:
        from onnx import TensorProto

        self.graph, self.float, self.half = model.graph, TensorProto.FLOAT, TensorProto.FLOAT16
        self.inside = {node.name for node in inside}
        self.weights = {each.name: each for each in self.graph.initializer if each.data_type == self.float}
        typed = [*self.graph.value_info, *self.graph.input, *self.graph.output]
        self.floats = {each.name for each in typed if each.type.tensor_type.elem_type == self.float}
        self.outside = {each.name for each in self.graph.output}
        self.outside |= {
            name for node in self.graph.node if node.name not in self.inside for name in _read_by(node)
        }

    def convert(self) -> None:
        """Convert the nodes, with casts where values enter and leave them."""
        nodes: list[Any] = []
        known, weights = set[str](), set[str]()
        for node in list(self.graph.node):
            if node.name not in self.inside:
                nodes.append(node)
                continue
            for place, name in enumerate(node.input):
                if name in self.weights:
                    weights.add(name)
                elif name not in self.floats:
                    continue
                elif name not in known:
                    known.add(name)
                    nodes.append(self._cast(name, _half(name), self.half))
                node.input[place] = _half(name)
            self._convert_attributes(node)
            nodes.append(node)
            for place, name in enumerate(node.output):
                if name in self.floats:
                    known.add(name)
                    node.output[place] = _half(name)
                    if name in self.outside:
                        nodes.append(self._cast(_half(name), name, self.float))
        del self.graph.node[:]
        self.graph.node.extend(nodes)
        self._convert_weights(weights)

    def _convert_weights(self, names: Iterable[str]) -> None:
        """Add the weights in half precision, and remove the others unless a float32 node reads them."""
        for name in sorted(names):
            weight = self.weights[name]
            self.graph.initializer.append(self._tensor(weight, _half(name)))
            if name not in self.outside:
                self.graph.initializer.remove(weight)

    def _convert_attributes(self, node: Any) -> None:
        """Convert the constants and the target types in the attributes of a node."""
        for attribute in node.attribute:
            if attribute.name == "to" and attribute.i == self.float:
                attribute.i = self.half
            elif attribute.name == "value" and attribute.t.data_type == self.float:
                attribute.t.CopyFrom(self._tensor(attribute.t, attribute.t.name))

    def _cast(self, source: str, target: str, kind: int) -> Any:
        from onnx import helper

        return helper.make_node("Cast", [source], [target], f"{target}_cast", to=kind)

    def _tensor(self, tensor: Any, name: str) -> Any:
        """Return a tensor in half precision; finite values beyond its range become the largest one."""
        from onnx import numpy_helper

        values = numpy_helper.to_array(tensor)
        finite = np.where(np.isinf(values), values, values.clip(-LARGEST, LARGEST))
        return numpy_helper.from_array(finite.astype(np.float16), name)


def _read_by(node: Any) -> set[str]:
    """Return the names of the values that a node reads, also in the branches of an `If`."""
    names = set(node.input)
    for graph in (attribute.g for attribute in node.attribute if attribute.HasField("g")):
        names |= {value.name for value in graph.output}
        names |= {name for inner in graph.node for name in _read_by(inner)}
    return names


def _half(name: str) -> str:
    return f"{name}_half"
