"""Recording of a module by torch: what it predicts for images, and which part of it cannot be recorded."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from committee.base.tracing import tracing
from committee.errors import CommitteeError, ExportError
from committee.exporters._quiet import quiet
from committee.models.moments import has_variance
from committee.tasks.base import task_of_model

Recorded = TypeVar("Recorded")
FREE = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height"), 3: torch.export.Dim("width")}
"""The dimensions of a batch of images that a program leaves free."""


class Linked(nn.Module):
    """A module of images to logits, with the softmax, or of images to numbers."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self._link = model.eval(), task_of_model(model).link

    def forward(self, images: Tensor) -> Tensor:
        """Return probabilities or numbers, float32 `[B, C]`."""
        return self._link(self.model(images).float())


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


def free_example(example: Tensor) -> Tensor:
    """Return images like the example, of which batch, height and width are at least 2.

    A length of 1 would be recorded as one that broadcasts.
    """
    batch, _, *sides = (2 if length == 1 else 1 for length in example.shape)
    return example.repeat(batch, 1, *sides)


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

    def export() -> Any:
        return torch.export.export(module, tuple(inputs), dynamic_shapes=shapes, strict=False)

    program = recorded(module, export, who, "torch.export")
    program._example_inputs = None  # a file would contain them, and so photos of the user
    return program


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
        with within():
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
        with within():
            record()
    except Exception:
        return running[-1] if running else ""
    finally:
        for handle in handles:
            handle.remove()
    return ""


def _begin(running: list[str], label: str, *_: object) -> None:
    running.append(label)


def _root_cause(error: BaseException) -> str:
    """Return the first line of the original error, without torch's advice on how to report it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
