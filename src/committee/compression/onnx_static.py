"""Static quantization to 8 bits with onnxruntime."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from committee.base.onnx_networks import network_nodes, read
from committee.base.quiet import quiet
from committee.compression import _onnx as files
from committee.compression.base import Compressor, Images
from committee.errors import UsageError

CALIBRATIONS = {"minmax": "MinMax", "entropy": "Entropy", "percentile": "Percentile"}
OPERATORS = ("Conv", "Gemm", "MatMul")


class OnnxStatic(Compressor):
    """Weights and activations of convolutions and linear layers as 8-bit integers, by onnxruntime.

    The ranges of the activations are measured on calibration images [1]_. The file has the QDQ form: pairs of
    nodes that round, around float operations, which onnxruntime fuses to integer ones. Products of two
    activations, as in attention, remain float32. Networks with batch norm and ReLU usually lose little;
    mobile networks and transformers may lose a lot, and should be measured.

    Parameters
    ----------
    per_channel : bool
        Whether each output channel of a weight has a scale of its own.
    reduce_range : bool
        Whether weights use 7 bits, for processors without the instructions for sums of 8-bit products (VNNI),
        where sums could overflow.
    calibration : {"minmax", "entropy", "percentile"}
        How the range of an activation follows from its values on the calibration images.
    operators : sequence of str
        ONNX operators that are quantized.
    exclude : sequence of str
        Texts; nodes whose name contains one of them stay float32.

    References
    ----------
    .. [1] Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only
       inference", 2018 (arXiv 1712.05877).

    See Also
    --------
    OnnxDynamic : Without calibration.
    Nncf : With corrections of the bias, for OpenVINO.

    Examples
    --------
    >>> from committee.compression.onnx_static import OnnxStatic
    >>> OnnxStatic(reduce_range=True).folder
    'onnx_int8'
    """

    folder = "onnx_int8"

    def __init__(
        self,
        per_channel: bool = True,
        reduce_range: bool = False,
        calibration: str = "minmax",
        operators: Sequence[str] = OPERATORS,
        exclude: Sequence[str] = (),
    ) -> None:
        if calibration not in CALIBRATIONS:
            expected = f"one of {', '.join(CALIBRATIONS)}"
            raise UsageError("calibration", expected=expected, got=f"'{calibration}'")
        self.per_channel, self.reduce_range, self.calibration = per_channel, reduce_range, calibration
        self.operators, self.exclude = tuple(operators), tuple(exclude)

    def compress(
        self, file: Path, images: Images, folder: Path, networks: Collection[str] | None = None
    ) -> Path:
        """Write the quantized file; see the base class."""
        files.require_packages(self.needs, self.extra, "quantization of an ONNX file")
        import onnx
        from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

        model = read(file)
        kept = {node.name for node in network_nodes(model, str(file), networks)}
        left = [
            node.name
            for node in model.graph.node
            if node.name not in kept or any(text in node.name for text in self.exclude)
        ]
        # Quantization writes advice to the root logger.
        with tempfile.TemporaryDirectory() as temporary, quiet(""):
            source, made = files.save(model, Path(temporary)), Path(temporary, "quantized.onnx")
            quantize_static(
                source,
                made,
                _reader(model.graph.input[0].name, images),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(self.operators),
                nodes_to_exclude=left,
                per_channel=self.per_channel,
                reduce_range=self.reduce_range,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod[CALIBRATIONS[self.calibration]],
                extra_options={"MatMulConstBOnly": True},
            )
            return files.write(onnx.load(made), folder)


def _reader(name: str, images: Images) -> Any:
    """Return the images as onnxruntime reads them for a calibration."""
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches: Iterator[Images] = files.batches(images)

        def get_next(self) -> dict[str, Images] | None:
            batch = next(self.batches, None)
            return None if batch is None else {name: batch}

    return Reader()
