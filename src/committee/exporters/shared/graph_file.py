"""A module as an ONNX file for a runtime in this process: its networks, without the resizing of images."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from committee.base.shared_work import entered
from committee.errors import ExportError
from committee.exporters._onnx_graph import record, require_packages, save
from committee.exporters._resized import FromResized

BATCH = {0: torch.export.Dim("batch")}

log = logging.getLogger(__name__)


class GraphFile(NamedTuple):
    """A graph in a temporary file.

    Attributes
    ----------
    path : Path
        An ONNX file with one output: what the module returns, float32 `[B, C, ...]`.
    inputs : callable
        Images, as the module takes them, to the inputs of the graph by name.
    """

    path: Path
    inputs: Callable[[Tensor], dict[str, NDArray[Any]]]


class _AsTheyAre(nn.Module):
    """A module that gets the images themselves."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *images: Tensor) -> Tensor:
        outputs: Tensor = self.model(*images)
        return outputs.float()

    def inputs(self, images: Tensor) -> list[Tensor]:
        return [images]


class _AfterResizing(nn.Module):
    """A module that gets the resized images of each of its preprocessings."""

    def __init__(self, model: nn.Module, who: str) -> None:
        super().__init__()
        self.resized = FromResized(model, who)

    def forward(self, *images: Tensor) -> Tensor:
        return self.resized.outputs(*images)

    def inputs(self, images: Tensor) -> list[Tensor]:
        return [view.cut(images) for view in self.resized.views]


def graph_file(module: nn.Module, example: Tensor, who: str) -> AbstractContextManager[GraphFile]:
    """Write a module as an ONNX graph of free batch size, in a temporary folder that is removed at the end.

    Recording takes seconds: inside of `committee.base.shared_work.shared_work`, a module is written once.

    The images are resized by torch before the graph, once for each preprocessing, since those that have the
    size of the networks already then cost nothing. Networks behind a cascade or a gate are in branches. A
    module that does not preprocess images itself gets them as they are.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode, on the CPU.
    example : Tensor [B, c, H, W]
        Images as the module takes them.
    who : str
        What needs the graph, for errors.

    Raises
    ------
    ExportError
        The module cannot be recorded.
    DependencyError
        A package that records ONNX graphs is not installed.

    Examples
    --------
    >>> import onnx, torch
    >>> from committee.exporters.shared.graph_file import graph_file
    >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 2)).eval()
    >>> with graph_file(net, torch.zeros(3, 3, 2, 2), "example") as graph:
    ...     [node.op_type for node in onnx.load(graph.path).graph.node]
    ['Reshape', 'Gemm']
    """
    require_packages(who)
    key = "graph", id(module), example.shape[1:], example.dtype
    return entered(key, lambda: _written(module, example, "a graph for engines"))


@contextmanager
def _written(module: nn.Module, example: Tensor, who: str) -> Iterator[GraphFile]:
    from committee.base.onnx_branches import add_branches

    model, adapter = _recorded(module, example, who)
    add_branches(model.graph)
    names = [value.name for value in model.graph.inputs]

    def inputs(images: Tensor) -> dict[str, NDArray[Any]]:
        tensors = adapter.inputs(images)
        return {name: each.contiguous().numpy() for name, each in zip(names, tensors, strict=True)}

    # Files of a runtime that maps them cannot be removed on Windows while it uses them.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        yield GraphFile(save(model, Path(folder, "model.onnx")), inputs)


def _recorded(module: nn.Module, example: Tensor, who: str) -> tuple[Any, _AfterResizing | _AsTheyAre]:
    """Return the ONNX model of a module, and what makes its inputs of images."""
    # A length of 1 would be recorded as one that broadcasts.
    images = example[:1].expand(2, *example.shape[1:])
    if not example.is_floating_point():
        try:
            after = _AfterResizing(module, who)
            return _record(after, images, who), after
        except ExportError as error:  # parts of it do not preprocess images themselves
            log.debug("%s is recorded with its preprocessing: %s", who, error)
    whole = _AsTheyAre(module)
    return _record(whole, images, who), whole


def _record(adapter: _AfterResizing | _AsTheyAre, images: Tensor, who: str) -> Any:
    from committee.exporters._onnx_operations import TRANSLATIONS

    tensors = [each.contiguous() for each in adapter.inputs(images)]
    free = {"images": tuple(BATCH for _ in tensors)}
    names = [f"images_{place}" for place in range(len(tensors))]
    return record(adapter.eval(), tensors, free, names, ["outputs"], who, TRANSLATIONS)
