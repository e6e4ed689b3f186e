"""The OpenVINO format: a graph for the runtime of Intel, which is fast on CPUs."""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from committee.base.openvino_core import openvino_core
from committee.errors import UsageError, require
from committee.exporters.base import TOLERANCE, Card, Exporter

if TYPE_CHECKING:
    from torch import Tensor, nn

    from committee.models.predictor import Images, Predictor

PRECISIONS = {"float32": TOLERANCE, "float16": 5e-3}
"""Precision of the weights, and the largest difference of a probability that it may cause."""
KEY = "committee"


class Openvino(Exporter):
    """An OpenVINO graph, `model.xml` and `model.bin`: `images` uint8 to `probabilities` float32.

    Batch size, height and width are free. The graph contains the preprocessing, all members, the combiner and
    its temperature; `rt_info/committee` of the XML file has the class names and the origin of the model. It
    is converted from the ONNX graph, so that both formats compute the same; writing needs the extras `onnx`
    and `openvino`. Predictions are made in float32, also where OpenVINO's default is bfloat16.

    Parameters
    ----------
    precision : {"float32", "float16"}
        Precision of the weights in the file. With float16 the file has half the size, and a probability may
        differ by 0.005.

    See Also
    --------
    Onnx : The graph for onnxruntime.

    Examples
    --------
    >>> from committee.exporters.openvino import Openvino
    >>> Openvino(precision="float16").tolerance
    0.005
    """

    suffix = ".xml"
    graph = True
    device = "cpu"

    def __init__(self, precision: str = "float32") -> None:
        if precision not in PRECISIONS:
            raise UsageError("precision", expected=f"one of {', '.join(PRECISIONS)}", got=f"'{precision}'")
        self.precision, self.tolerance = precision, PRECISIONS[precision]

    def export(self, module: nn.Module, example: Tensor, folder: Path, card: Card) -> Path:
        """Write `model.xml` and `model.bin`; see the base class."""
        openvino = _require()
        from committee.exporters._card import card_text
        from committee.exporters._onnx_graph import write

        path = folder / f"model{self.suffix}"
        with tempfile.TemporaryDirectory() as temporary:
            # `openvino.convert_model` would do the same, and send a record of it to its authors.
            file = write(module, example, Path(temporary, "model.onnx"), card, always_resized=True)
            graph = openvino_core().read_model(file)
            graph.set_rt_info(card_text(card, example.shape[1]), KEY)
            openvino.save_model(graph, path, compress_to_fp16=self.precision == "float16")
        return path

    def open(self, file: Path, device: str = "cpu") -> Predictor:
        """Open `model.xml` with OpenVINO, on the CPU; see the base class."""
        _require()
        from committee.exporters._card import CalledPredictor, damaged, read_card, require_cpu

        require_cpu(device, "OpenVINO files")
        core = openvino_core()
        try:
            graph = core.read_model(file)
            text = graph.get_rt_info(KEY).value if graph.has_rt_info(KEY) else ""
            program = core.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        except RuntimeError as error:
            raise damaged(file, "OpenVINO graph") from error

        def call(images: Images) -> Any:
            return program({"images": images})[0].copy()

        return CalledPredictor(file, read_card(text, file), call)


def _require() -> Any:
    from committee.exporters._quiet import quiet

    try:
        with quiet():
            return importlib.import_module("openvino")
    except ImportError:
        raise require("openvino", "openvino", "the format openvino") from None
