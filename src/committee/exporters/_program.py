"""Recording of a module by torch: what it predicts for images, and which part of it cannot be recorded."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, redirect_stderr
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils._sympy.value_ranges import ValueRanges

from committee.base.quiet import quiet as without_logs
from committee.base.tracing import tracing
from committee.errors import CommitteeError, ExportError
from committee.exporters._quiet import quiet
from committee.images.as_given import shape_of
from committee.models.moments import has_variance
from committee.predictions.target_types import target_type_of
from committee.tasks.base import task_of_model

Recorded = TypeVar("Recorded")
FREE = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height"), 3: torch.export.Dim("width")}
"""The dimensions of a batch of images that a program leaves free."""
LEAST = 64
"""Smallest side for which a network of maps is recorded; the program then runs for smaller images too."""
FREE_MAPS = {
    0: torch.export.Dim("batch"),
    2: torch.export.Dim("height", min=LEAST),
    3: torch.export.Dim("width", min=LEAST),
}


class Linked(nn.Module):
    """A module of images to logits, with the softmax, or of images to numbers."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, task = model.eval(), task_of_model(model)
        self.target_type, self._link = task.target_type, task.link
        self.of_inputs = bool(shape_of(model))

    def forward(self, images: Tensor) -> Tensor:
        """Return probabilities or numbers, float32 `[B, C]`, or maps of them, `[B, C, H, W]`."""
        return self._link(self.model(images).float())

    @property
    def free(self) -> dict[int, Any]:
        """The dimensions of the images that a program of the model leaves free; of inputs, the batch."""
        if self.of_inputs:
            return {0: FREE[0]}
        return FREE_MAPS if self.target_type.dense else FREE

    def example(self, images: Tensor) -> Tensor:
        """Return images like these, of which batch, height and width can be recorded as free.

        A length of 1 would be recorded as one that broadcasts. Those of maps have sides of at least `LEAST`.
        """
        if self.of_inputs:
            return images.repeat(-(-2 // len(images)), *[1] * (images.ndim - 1))
        least = LEAST if self.target_type.dense else 2
        batch, _, height, width = images.shape
        return images.repeat(-(-2 // batch), 1, -(-least // height), -(-least // width))


class LinkedWithStd(Linked):
    """A module of images to numbers and their standard deviations, both float32 `[B, T]`."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """Return numbers and standard deviations: the root of all variance, aleatoric and epistemic."""
        moments: Any = self.model.moments
        values, variances = moments(images).float().unbind(-1)
        return values, variances.sqrt()


def linked(model: nn.Module) -> Linked:
    """Return what is recorded of a model: probabilities, numbers, or numbers with standard deviations."""
    return LinkedWithStd(model) if has_variance(model) else Linked(model)


def record_program(module: nn.Module, inputs: Sequence[Tensor], shapes: Any, who: str) -> Any:
    """Record a module with `torch.export`; return the program, without the images it was recorded with.

    Parameters
    ----------
    module : torch.nn.Module
    inputs : sequence of Tensor
        What the module is called with.
    shapes : sequence of mapping of int to Dim, or None
        The free dimensions of each input; None if all are fixed.
    who : str
        Format and name of the model, for the error.

    Raises
    ------
    ExportError
        The module cannot be recorded.
    """

    of_maps = shapes is not None and target_type_of(module).dense

    def export() -> Any:
        return torch.export.export(
            module,
            tuple(inputs),
            dynamic_shapes=shapes,
            strict=False,
            prefer_deferred_runtime_asserts_over_guards=of_maps,
        )

    program = recorded(module, export, who, "torch.export")
    if of_maps:
        _accept_all_sizes(program)
    program._example_inputs = None  # a file would contain them, and so photos of the user
    return program


def _accept_all_sizes(program: Any) -> None:
    """Remove what a program of maps asserts of sizes, such as that an image is padded or is not.

    The operators of the program compute with the sizes that they get, and do not depend on these assertions.
    """
    graph = program.graph_module.graph
    for node in list(graph.nodes):
        if node.target is torch.ops.aten._assert_scalar.default:
            graph.erase_node(node)
    graph.eliminate_dead_code()
    program.graph_module.recompile()
    for symbol, values in program.range_constraints.items():
        program.range_constraints[symbol] = ValueRanges(1, values.upper)


def save_program(program: Any, path: Path, extra_files: dict[str, str] | None = None) -> None:
    """Write a program of `torch.export`.

    It is written by Python, since the writer of torch ends the process if the disk is full.
    """
    written = io.BytesIO()
    torch.export.save(program, written, extra_files=extra_files)
    path.write_bytes(written.getbuffer())


@contextmanager
def _recording() -> Iterator[None]:
    with quiet(), tracing(), torch.no_grad():
        yield


def recorded(
    module: nn.Module,
    record: Callable[[], Recorded],
    who: str,
    tool: str,
    within: Callable[[], AbstractContextManager[None]] = _recording,
    again: Callable[[], object] | None = None,
) -> Recorded:
    """Return what `record` returns; raise an ExportError that names the part of the module where it fails.

    Parameters
    ----------
    module : torch.nn.Module
        The module that `record` runs.
    record : callable
    who : str
        Format and name of the model, for the error.
    tool : str
        What records, for the error.
    within : callable
        Returns the context in which `record` runs.
    again : callable, optional
        What is run to find the part that fails, if `record` tries several ways; by default `record`.
    """
    try:
        with within(), _unprinted():
            return record()
    except CommitteeError:
        raise
    except Exception as error:
        place = _failing_part(module, again or record, within)
        raise ExportError(
            who,
            expected=f"a module that {tool} can record",
            got=f"{_root_cause(error)}{f' (in {place})' if place else ''}",
            todo="Rewrite this part without branches on values of tensors, leave the format out of "
            "exports.formats, or name the backbone in backbones.exclude.",
        ) from error


def _failing_part(
    module: nn.Module, record: Callable[[], object], within: Callable[[], AbstractContextManager[None]]
) -> str:
    """Record again, and return the innermost part of the module that has begun and not ended."""
    running: list[str] = []

    def end(*_: object) -> None:
        running.pop()

    handles = []
    for name, part in module.named_modules():
        label = f"{name.removeprefix('model.') or 'the model'}: {type(part).__name__}"
        handles.append(part.register_forward_pre_hook(partial(_begin, running, label)))
        handles.append(part.register_forward_hook(end))
    try:
        with within(), _unprinted():
            record()
    except Exception:
        return running[-1] if running else ""
    finally:
        for handle in handles:
            handle.remove()
    return ""


@contextmanager
def _unprinted() -> Iterator[None]:
    """Drop what torch logs and prints of a graph that it cannot record; the error names part and reason."""
    with without_logs("torch.fx.experimental.symbolic_shapes"), redirect_stderr(io.StringIO()):
        yield


def _begin(running: list[str], label: str, *_: object) -> None:
    running.append(label)


def _root_cause(error: BaseException) -> str:
    """Return the first line of the original error, without torch's advice on how to report it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
