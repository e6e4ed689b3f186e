"""The networks as one graph of OpenVINO."""

from __future__ import annotations

from queue import SimpleQueue
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from committee.base.openvino_core import openvino_core
from committee.engines.base import Engine, Infer, absent
from committee.engines.shared.parts import LEAST, Arrays, Run, fastest, in_parts, seconds

WRITERS = ("onnx", "onnxscript", "onnxruntime")
"""The packages that write the graph."""


class Openvino(Engine):
    """All networks and the combiner as one graph, which OpenVINO runs on the CPU.

    Torch resizes the images, once for each preprocessing. With bf16 the products of the networks have
    bfloat16 operands, which processors with AMX or AVX512-BF16 compute two and more times faster; on others,
    this precision is missing. The graph has the number of threads that torch has; they share each operation,
    or each computes a part of the batch, whichever takes less time for the example. Only the number of images
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
        if self.precision == "bf16" and "BF16" not in openvino_core().get_property(
            "CPU", "OPTIMIZATION_CAPABILITIES"
        ):
            return "the processor does not compute with bfloat16"
        return ""

    def prepare(self, module: nn.Module, example: Tensor) -> Infer:
        """Return the run of a compiled graph; see the base class."""
        from committee.exporters.shared.graph_file import graph_file

        with graph_file(module, example, f"the engine {self.key}") as graph:
            run = self._fastest(str(graph.path), graph.inputs(example), torch.get_num_threads())
        return lambda images: torch.from_numpy(run(graph.inputs(images)))

    def _fastest(self, path: str, inputs: Arrays, threads: int) -> Run:
        """Return the run of a graph on all threads, or on one for each part of a batch."""
        whole = self._compiled(path, threads, 1)
        if threads == 1 or len(next(iter(inputs.values()))) < LEAST * threads:
            return whole
        divided = in_parts(self._compiled(path, threads, threads), whole, threads)
        return fastest([whole, divided], inputs, seconds(whole, inputs))

    def _compiled(self, path: str, threads: int, streams: int) -> Run:
        """Return the run of a compiled graph, which serves so many calls at a time."""
        core = openvino_core()
        hints = {
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[self.precision],
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": streams,
        }
        try:
            compiled = core.compile_model(core.read_model(path), "CPU", hints)
        except RuntimeError as error:  # It begins with files of OpenVINO, and ends with what is wrong.
            raise RuntimeError(str(error).strip().splitlines()[-1].removeprefix("-- ")) from error
        requests = SimpleQueue[Any]()
        for _ in range(streams):
            requests.put(compiled.create_infer_request())

        def run(inputs: Arrays) -> NDArray[Any]:
            request = requests.get()
            try:
                return np.array(request.infer(dict(inputs), share_inputs=True, share_outputs=True)[0])
            finally:
                requests.put(request)

        return run
