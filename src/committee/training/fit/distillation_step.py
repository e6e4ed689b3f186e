"""Gradients of a batch from which a student learns the outputs of its teacher."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from committee.training.fit.batches import Rows
from committee.training.fit.engine import number_format
from committee.training.fit.input_errors import as_training_error
from committee.training.fit.start import EpochLoader, tensor_of
from committee.training.fit.steps import Step
from committee.training.fit.teacher import Teachers
from committee.training.fit.teaching import Targets, Teaching
from committee.training.losses.base import Loss

if TYPE_CHECKING:
    from committee.training.fit.engine import Fabric


class DistillationStep(Step):
    """Forward and backward pass of a batch, with the loss of distillation.

    The loss of a row is `alpha * loss(student, teacher) + (1 - alpha) * loss(student, label)`. Student and
    teacher see the same crop (Beyer et al. 2022, arXiv 2106.05237).

    Parameters
    ----------
    teaching : Teaching
    fabric, loader, targets, loss, row_weights, offsets, who
        See `Step`; there are no offsets.
    """

    loader: EpochLoader

    def __init__(
        self,
        teaching: Teaching,
        fabric: Fabric,
        loader: EpochLoader,
        targets: Tensor,
        loss: Loss,
        row_weights: Tensor | None = None,
        offsets: Tensor | None = None,
        *,
        who: str,
    ) -> None:
        super().__init__(fabric, loader, targets, loss, row_weights, offsets, who=who)
        images = loader.images
        self.teaching, self.taught = teaching, teaching.make_loss()
        self.images = teaching.transfer_set(images.dataset, loader.rows, images.spec)
        self.device, self.task = targets.device, images.dataset.task

    @cached_property
    def _teachers(self) -> Teachers:
        """The teachers, which are loaded in the first step: a fit without an epoch left needs none."""
        images = self.loader.images
        form = number_format(self.device, images.spec.training.precision)
        return self.teaching.teachers(images.dataset, self.device, form)

    @cached_property
    def _stored(self) -> Targets | None:
        return None if self.teaching.targets is None else Targets(self.teaching, self.images)

    def _part(self, model: nn.Module, positions: Rows, share: Tensor | None = None) -> Tensor:
        """Return loss and accuracy of rows processed at once; see the base class."""
        epoch = self.loader.epoch()
        view = self.images.view(epoch)
        items, owners = self.images.with_unlabeled(positions, epoch)
        reader = self.loader.images.view
        largest = self._teachers.largest if self._stored is None else reader
        crops = self.images.crops(items, view, largest, self.device)
        # The pixels that student and teacher share must not be made in inference mode.
        images = reader.normalize(crops.resized(reader), self.loader.images.layout)
        if self._stored is not None:
            teacher = self._stored.of(items, view).to(self.device)
        else:
            assert self.images.groups is not None
            teacher = self._teachers(crops, self.images.groups[items], self.fabric.autocast())
        with as_training_error(self.who, images.shape[-1]):
            outputs = model(images).float()
            loss = self._distillation_loss(outputs, teacher, items, owners, positions, view)
            self.fabric.backward(loss if share is None else loss * share)
        labels = self.targets[torch.from_numpy(positions)]
        score = self.loss.scored(outputs[: len(positions)], labels)
        return torch.stack([loss.detach(), score])

    def _distillation_loss(
        self, outputs: Tensor, teacher: Tensor, items: Rows, owners: Rows, positions: Rows, view: int
    ) -> Tensor:
        """Return the weighted mean over positions, to which the losses of unlabeled images are added."""
        alpha = self.teaching.alpha
        labels, partners, shares = self._labels(items, view)
        likely = self._where(shares >= 0.5, labels, partners)
        likely = self._where(self.task.labeled(likely), likely, self.task.decided(teacher))
        own, wanted = self.loss.standardized(outputs), self.loss.standardized(teacher)
        taught = self.taught(own, wanted, likely)
        place = torch.from_numpy(owners).to(self.device)
        taught = taught.new_zeros(len(positions)).index_add(0, place, taught) / (1 + self.images.rate)
        count = len(positions)
        each = alpha * taught + (1 - alpha) * (
            shares[:count] * self._of_labels(outputs[:count], labels[:count])
            + (1 - shares[:count]) * self._of_labels(outputs[:count], partners[:count])
        )
        rows = torch.from_numpy(positions)
        weights = self.loss.weight(self.targets[rows])
        if self.row_weights is not None:
            weights = weights * self.row_weights[rows]
        return (each * weights).sum() / self._weight(positions)

    def _labels(self, items: Rows, view: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the labels of items, those of the items they are mixed with, and the share of the first."""
        mixed = self.images.mixed(items, view)
        partners, shares = (items, np.ones(len(items), np.float32)) if mixed is None else mixed
        own, other = (tensor_of(self.images.labels[each]).to(self.device) for each in (items, partners))
        return own, other, torch.from_numpy(shares).to(self.device)

    def _of_labels(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each row for its label; 0 without one."""
        known = self.task.labeled(labels)
        filled = self._where(known, labels, self.task.decided(outputs.detach()))
        return self.loss.unweighted(outputs, filled) * known

    @staticmethod
    def _where(rows: Tensor, labels: Tensor, others: Tensor) -> Tensor:
        """Return the labels of these rows, and the others of the rest."""
        return torch.where(rows.reshape(-1, *[1] * (labels.ndim - 1)), labels, others)
