"""Losses of distillation: what a student has to learn from the outputs of its teacher."""

from typing import TYPE_CHECKING

from committee.base.lazy import reexport

if TYPE_CHECKING:
    from committee.training.distillation_losses.base import DistillationLoss as DistillationLoss

__getattr__, __dir__ = reexport(__name__, family=True)
