"""The networks as one graph of onnxruntime."""

from __future__ import annotations

import importlib
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from committee.engines.base import Engine, Infer, absent
from committee.engines.shared.parts import Arrays, Run, fastest, in_parts, seconds

SMALL = 1e-3
"""Seconds of a call for which other threads are not worth waking."""


class Onnxruntime(Engine):
    """All networks and the combiner as one graph, which onnxruntime runs on the CPU.

    Torch resizes the images, once for each preprocessing. Batch norm is folded into the layer before it, what
    depends on weights alone is computed in advance, and the graph runs without Python. It has the number of
    threads that torch has, or one if the example takes less than a millisecond. They share each operation, or
    each computes a part of the batch, whichever takes less time for the example. Threads do not wait actively
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
            run = _fastest(str(graph.path), graph.inputs(example), torch.get_num_threads())
        return lambda images: torch.from_numpy(run(graph.inputs(images)))


def _fastest(path: str, inputs: Arrays, threads: int) -> Run:
    """Return the run of a session on one thread, on several, or on one for each part of a batch."""
    alone = _session(path, 1)
    took = seconds(alone, inputs)
    if threads == 1 or took <= SMALL:
        return alone
    whole = _session(path, threads)
    return fastest([whole, in_parts(alone, whole, threads)], inputs, took)


def _session(path: str, threads: int) -> Run:
    onnxruntime: Any = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors are raised, and not printed too
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, inputs)[0]
