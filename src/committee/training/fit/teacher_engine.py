"""A teacher that an engine runs, on crops in place of whole images."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from committee.errors import CommitteeError, UsageError
from committee.images.view import View
from committee.models.batch import Batch, Transform, resizing
from committee.models.engine_parity import Reference
from committee.models.engine_race import prepare
from committee.models.vote import logits_of
from committee.tasks.base import task_of_model

log = logging.getLogger(__name__)

KEY, EAGER = "distillation.engine", "eager"
TOLERANCE = 1e-4
"""Largest difference of a probability, or of a number relative to its size."""


class _Cut(Batch):
    """Crops in 0..255 that all networks of a teacher normalize."""

    def __init__(self, pixels: Tensor) -> None:
        self.images, self.source = pixels, pixels.to(torch.uint8)  # members check the type of the source

    def resized(self, view: View, rows: Tensor | None = None) -> Tensor:
        return self.images if rows is None else self.images[rows]

    def under(self, views: Sequence[Transform]) -> Batch:
        raise _cannot("networks that read the crop of the student", "a teacher with test-time views")


class _OfCrops(nn.Module):
    """A teacher from crops, float32 `[B, c, size, size]` in 0..255, to its outputs."""

    def __init__(self, teacher: nn.Module) -> None:
        super().__init__()
        self.teacher, self.task = teacher, task_of_model(teacher)

    def forward(self, pixels: Tensor) -> Tensor:
        return logits_of(self.teacher(_Cut(pixels)))


class EngineRun:
    """The run of a teacher by an engine, which is prepared for the first crops and compared with the teacher.

    Parameters
    ----------
    teacher : nn.Module
        In evaluation mode.
    engine : str
        A key of `committee.engines`.
    crops : Batch
        The first crops.

    Raises
    ------
    UsageError
        The engine cannot run this teacher here, or predicts something else, or the networks of the teacher
        do not read one and the same crop.

    See Also
    --------
    committee.training.fit.teacher.Teachers : Calls it.
    """

    def __init__(self, teacher: nn.Module, engine: str, crops: Batch) -> None:
        self._view = _only_view(teacher)
        pixels = crops.resized(self._view).float()
        try:
            with torch.inference_mode(False), torch.no_grad():
                found = prepare(Reference(_OfCrops(teacher).eval(), pixels), engine, "fp32", TOLERANCE)
        except CommitteeError:
            raise
        except Exception as error:
            reason = str(error).strip().partition("\n")[0].rstrip(".")
            raise _cannot("an engine that can run the teacher", f"{engine} ({reason})") from error
        self._run = found.run
        log.info("the teacher is run by %s: a difference of %.1g", engine, found.trial.difference)

    def __call__(self, crops: Batch) -> Tensor:
        """Return the outputs of the teacher for crops, float32 `[B, C]`."""
        return self._run(crops.resized(self._view).float())


def _only_view(teacher: nn.Module) -> View:
    """Return the preprocessing that all networks of a teacher share, except for the normalization."""
    views = {resizing(part): part for part in teacher.modules() if isinstance(part, View)}
    if len(views) != 1:
        expected = "networks with the same image size, fit and channels"
        raise _cannot(expected, f"a teacher with {len(views)} kinds of them")
    return next(iter(views.values()))


def _cannot(expected: str, got: str) -> UsageError:
    return UsageError(KEY, expected=expected, got=got, todo=f"Set {KEY}: {EAGER}.")
