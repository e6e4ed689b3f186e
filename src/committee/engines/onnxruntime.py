"""The networks as one graph of onnxruntime."""

from __future__ import annotations

import importlib
import time
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from committee.engines.base import Engine, Infer, absent

SMALL = 1e-3
"""Seconds of a call for which other threads are not worth waking."""


class Onnxruntime(Engine):
    """All networks and the combiner as one graph, which onnxruntime runs on the CPU.

    Torch resizes the images, once for each preprocessing. Batch norm is folded into the layer before it, what
    depends on weights alone is computed in advance, and the graph runs without Python. It has the number of
    threads that torch has, or one if the example takes less than a millisecond. Threads do not wait actively
    between operations: that would cost as much processor time as the work. Only the number of images is free;
    images of another size than the example are refused, if the module does not resize them.

    Preparing records each architecture, which takes some seconds.

    See Also
    --------
    committee.exporters.onnx.Onnx : The same as a file, which also resizes.
    committee.models.planner.optimize : Measures all engines and selects the fastest one.

    Examples
    --------
    >>> import torch
    >>> from committee.engines.onnxruntime import Onnxruntime
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2)).eval()
    >>> images = torch.rand(4, 3, 2, 2)
    >>> run = Onnxruntime().prepare(net, images)
    >>> with torch.inference_mode():
    ...     torch.allclose(run(images[:3]), net(images[:3]), atol=1e-6)
    True
    """

    package: ClassVar[str] = "onnxruntime"

    def missing(self, module: nn.Module, example: Tensor) -> str:
        """Return that a package is absent, or that the module is not on the CPU."""
        if example.device.type != "cpu":
            return f"it runs on the CPU, and the images are on {example.device.type}"
        return absent(("onnx", "onnxscript", "onnxruntime"), "onnx")

    def prepare(self, module: nn.Module, example: Tensor) -> Infer:
        """Return the run of a session; see the base class."""
        from committee.exporters.shared.graph_file import graph_file

        with graph_file(module, example, f"the engine {self.key}") as graph:
            session = _session(str(graph.path), 1)
            if (threads := torch.get_num_threads()) > 1 and _seconds(session, graph.inputs(example)) > SMALL:
                session = _session(str(graph.path), threads)

        def run(images: Tensor) -> Tensor:
            return torch.from_numpy(session.run(None, graph.inputs(images))[0])

        return run


def _session(path: str, threads: int) -> Any:
    onnxruntime: Any = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised, and not printed too
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _seconds(session: Any, inputs: dict[str, Any]) -> float:
    """Return the seconds of a call, the shortest of three."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        session.run(None, inputs)
        times.append(time.perf_counter() - start)
    return min(times)
