"""Dynamic quantization to 8 bits with onnxruntime."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path

from committee.base.onnx_networks import network_nodes, read
from committee.base.quiet import quiet
from committee.compression import _onnx as files
from committee.compression.base import Compressor, Images

OPERATORS = ("Gemm", "MatMul")


class OnnxDynamic(Compressor):
    """Weights of linear layers as 8-bit integers; the ranges of activations are computed in each call.

    No images are needed. Convolutions remain float32, since their dynamic form is slower than float32 in
    onnxruntime. So it is a method for transformers; convolutional networks hardly change.

    Parameters
    ----------
    per_channel : bool
        Whether each output channel of a weight has a scale of its own.
    reduce_range : bool
        Whether weights use 7 bits; see `OnnxStatic`.
    operators : sequence of str
        ONNX operators that are quantized.

    See Also
    --------
    OnnxStatic : With ranges that are measured on images.

    Examples
    --------
    >>> from committee.compression.onnx_dynamic import OnnxDynamic
    >>> OnnxDynamic().calibrated
    False
    """

    folder = "onnx_dynamic"
    calibrated = False

    def __init__(
        self, per_channel: bool = True, reduce_range: bool = False, operators: Sequence[str] = OPERATORS
    ) -> None:
        self.per_channel, self.reduce_range = per_channel, reduce_range
        self.operators = tuple(operators)

    def compress(
        self, file: Path, images: Images, folder: Path, networks: Collection[str] | None = None
    ) -> Path:
        """Write the quantized file; see the base class."""
        files.require_packages(self.needs, self.extra, "quantization of an ONNX file")
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic

        model = read(file)
        kept = {node.name for node in network_nodes(model, str(file), networks)}
        # Quantization writes advice to the root logger.
        with tempfile.TemporaryDirectory() as temporary, quiet(""):
            source, made = files.save(model, Path(temporary)), Path(temporary, "quantized.onnx")
            quantize_dynamic(
                source,
                made,
                op_types_to_quantize=list(self.operators),
                nodes_to_exclude=[node.name for node in model.graph.node if node.name not in kept],
                per_channel=self.per_channel,
                reduce_range=self.reduce_range,
                weight_type=QuantType.QInt8,
                extra_options={"MatMulConstBOnly": True},
            )
            return files.write(onnx.load(made), folder)
