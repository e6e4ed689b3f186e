"""The module as CUDA graphs, one for each size of a batch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from committee.engines.base import Engine, Infer
from committee.engines.shared.networks import inference_copy

WARMUP = 3
"""Calls before a graph is recorded, in which libraries choose their kernels and allocate memory."""
Replay = Callable[[], Tensor]


class CudaGraphs(Engine):
    """A copy of the module for inference, recorded as CUDA graphs: the GPU gets all kernels in one call.

    That helps small networks, whose kernels take less time than their launches. A graph holds for one number
    of images: one is recorded for each power of two up to the number of the example, when it is first needed,
    and a batch is filled up with copies of its last image; larger batches are divided. All networks run, also
    behind a cascade. Images of another size than the example run as in the engine `channels_last`.

    Parameters
    ----------
    precision : {"fp32", "bf16", "fp16"}
        Precision of the networks.

    See Also
    --------
    committee.models.planner.optimize : Measures all engines and selects the fastest one.

    Examples
    --------
    >>> import torch
    >>> from committee.engines.cuda_graphs import CudaGraphs
    >>> CudaGraphs().missing(torch.nn.Identity(), torch.zeros(1, 3, 8, 8))
    'it needs a CUDA GPU'
    """

    precisions = ("fp32", "bf16", "fp16")

    def missing(self, module: nn.Module, example: Tensor) -> str:
        """Return that the images are not on a CUDA GPU."""
        return "" if example.device.type == "cuda" else "it needs a CUDA GPU"

    def prepare(self, module: nn.Module, example: Tensor) -> Infer:
        """Record a graph for the example; see the base class."""
        changed = inference_copy(module, example, self.dtype)
        graphs = _Graphs(lambda images: changed(images).float(), example)
        graphs(example)
        return graphs


class _Graphs:
    """Graphs of a function, by the number of images."""

    def __init__(self, run: Infer, example: Tensor) -> None:
        self._run, self._example = run, example
        self._graphs: dict[int, tuple[Tensor, Replay]] = {}

    def __call__(self, images: Tensor) -> Tensor:
        if images.shape[1:] != self._example.shape[1:] or images.dtype != self._example.dtype:
            return self._run(images)
        return torch.cat([self._of_part(part) for part in images.split(len(self._example))])

    def _of_part(self, images: Tensor) -> Tensor:
        count = min(1 << (len(images) - 1).bit_length(), len(self._example))
        if count not in self._graphs:
            inputs = self._example[:count].clone()
            self._graphs[count] = inputs, _record(self._run, inputs)
        inputs, replay = self._graphs[count]
        inputs[: len(images)].copy_(images)
        inputs[len(images) :].copy_(images[-1:])
        return replay()[: len(images)].clone()


def _record(run: Infer, inputs: Tensor) -> Replay:
    """Record a function of a tensor as a graph, and return what runs it and returns its output."""
    stream = torch.cuda.Stream(inputs.device)
    stream.wait_stream(torch.cuda.current_stream(inputs.device))
    with torch.cuda.stream(stream):
        for _ in range(WARMUP):
            run(inputs)
    torch.cuda.current_stream(inputs.device).wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = run(inputs)

    def replay() -> Tensor:
        graph.replay()
        return output

    return replay
