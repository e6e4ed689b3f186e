"""Gradients of a batch from which a student learns the maps of its teacher."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from committee.models.batch import Batch
from committee.training.fit.batches import Rows
from committee.training.fit.engine import number_format
from committee.training.fit.input_errors import as_training_error
from committee.training.fit.map_loader import MapLoader
from committee.training.fit.steps import Step
from committee.training.fit.teacher import Teachers
from committee.training.fit.teaching import Teaching
from committee.training.losses.base import Loss, rows_of_pixels

if TYPE_CHECKING:
    from committee.training.fit.engine import Fabric


class MapDistillationStep(Step):
    """Forward and backward pass of a batch of crops, with the loss of distillation.

    The loss of a crop is `alpha` times the mean loss between student and teacher over all of its pixels, plus
    `1 - alpha` times the loss of its labels. Both see the same crop.

    Parameters
    ----------
    teaching : Teaching
    fabric, loader, targets, loss, row_weights, offsets, who
        See `Step`; there are no offsets.

    See Also
    --------
    committee.training.fit.distillation_step.DistillationStep : The same for images with one label.
    """

    loader: MapLoader

    def __init__(
        self,
        teaching: Teaching,
        fabric: Fabric,
        loader: MapLoader,
        targets: Tensor,
        loss: Loss,
        row_weights: Tensor | None = None,
        offsets: Tensor | None = None,
        *,
        who: str,
    ) -> None:
        super().__init__(fabric, loader, targets, loss, row_weights, offsets, who=who)
        self.teaching, self.taught = teaching, teaching.make_loss()
        self.numbers = teaching.numbers(loader.dataset)[loader.rows]
        self.device, self.task = targets.device, loader.dataset.task

    @cached_property
    def _teachers(self) -> Teachers:
        """The teachers, which are loaded in the first step: a fit without an epoch left needs none."""
        form = number_format(self.device, self.loader.spec.training.precision)
        return self.teaching.teachers(self.loader.dataset, self.device, form)

    def _part(self, model: nn.Module, positions: Rows, share: Tensor | None = None) -> Tensor:
        """Return loss and score of crops processed at once; see the base class."""
        view, (images, labels) = self.loader.view, self.loader(positions)
        pixels = view.restored(images)
        teacher = self._teachers(Batch(pixels), self.numbers[positions], self.fabric.autocast())
        with as_training_error(self.who, images.shape[-1]):
            outputs = model(view.normalize(pixels, self.loader.layout)).float()
            each = self._taught(outputs, teacher, labels) * self.teaching.alpha
            each = each + (1 - self.teaching.alpha) * self.loss.each(outputs, labels)
            rows = torch.from_numpy(positions)
            weights = torch.ones_like(each) if self.row_weights is None else self.row_weights[rows]
            loss = (each * weights).sum() / self._weight(positions)
            self.fabric.backward(loss if share is None else loss * share)
        return torch.stack([loss.detach(), self.loss.scored(outputs, labels)])

    def _taught(self, outputs: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss between student and teacher over the pixels of each crop, `[B]`."""
        own, given, known = rows_of_pixels(outputs, labels)
        wanted = rows_of_pixels(teacher, labels)[0]
        known = known.reshape(-1, *[1] * (given.ndim - 1))
        likely = torch.where(known, given, self.task.decided(wanted).to(given.dtype))
        losses = self.taught(self.loss.standardized(own), self.loss.standardized(wanted), likely)
        return losses.reshape(len(outputs), -1).mean(1)
