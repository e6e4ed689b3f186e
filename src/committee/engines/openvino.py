"""The networks as one graph of OpenVINO."""

from __future__ import annotations

import importlib
import threading
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from committee.engines.base import Engine, Infer, absent

WRITERS = ("onnx", "onnxscript", "onnxruntime")
"""The packages that write the graph."""


class Openvino(Engine):
    """All networks and the combiner as one graph, which OpenVINO runs on the CPU.

    Torch resizes the images, once for each preprocessing. With bf16 the products of the networks have
    bfloat16 operands, which processors with AMX or AVX512-BF16 compute two and more times faster; on others,
    this precision is missing. The graph has the number of threads that torch has. Only the number of images
    is free; images of another size than the example are refused, if the module does not resize them.

    Preparing records each architecture, which takes some seconds.

    See Also
    --------
    committee.exporters.openvino.Openvino : The same as a file, which also resizes.
    committee.models.planner.optimize : Measures all engines and selects the fastest one.

    Examples
    --------
    >>> from committee.engines.openvino import Openvino
    >>> Openvino("bf16").precision
    'bf16'
    """

    precisions: ClassVar[tuple[str, ...]] = ("fp32", "bf16")
    package: ClassVar[str] = "openvino"

    def missing(self, module: nn.Module, example: Tensor) -> str:
        """Return that a package is absent, the module is not on the CPU, or the CPU lacks the precision."""
        if example.device.type != "cpu":
            return f"it runs on the CPU, and the images are on {example.device.type}"
        if missing := absent(WRITERS, "onnx") or absent(("openvino",), "openvino"):
            return missing
        if self.precision == "bf16" and "BF16" not in _core().get_property(
            "CPU", "OPTIMIZATION_CAPABILITIES"
        ):
            return "the processor does not compute with bfloat16"
        return ""

    def prepare(self, module: nn.Module, example: Tensor) -> Infer:
        """Return the run of a compiled graph; see the base class."""
        from committee.exporters.shared.graph_file import graph_file

        core = _core()
        hints = {
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[self.precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
        }
        with graph_file(module, example, f"the engine {self.key}") as graph:
            try:
                request = core.compile_model(core.read_model(graph.path), "CPU", hints).create_infer_request()
            except RuntimeError as error:  # It begins with files of OpenVINO, and ends with what is wrong.
                raise RuntimeError(str(error).strip().splitlines()[-1].removeprefix("-- ")) from error

        lock = threading.Lock()  # a request serves one call at a time

        def run(images: Tensor) -> Tensor:
            inputs = graph.inputs(images)
            with lock:
                return torch.tensor(request.infer(inputs, share_inputs=True, share_outputs=True)[0])

        return run


def _core() -> Any:
    return importlib.import_module("openvino").Core()
