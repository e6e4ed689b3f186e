"""Gradients of one batch, which may be divided into parts where memory is short."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from committee.training.fit.batches import Rows
from committee.training.fit.input_errors import as_training_error
from committee.training.losses.base import Loss

if TYPE_CHECKING:
    from committee.training.fit.engine import Fabric


class Step:
    """Forward and backward pass of a batch, which adds its gradients to those of a network.

    Parameters
    ----------
    fabric : Fabric
    loader : callable
        From positions int64 `[B]` to images float32 `[B, c, size, size]`, and their labels or maps.
    targets : int64 tensor `[N]`, or float32 tensor `[N, T]`
        Label of each position, which decides its weight.
    loss : Loss
        Prepared for the rows of the fit.
    row_weights : float32 tensor `[N]` or None
        Weight of each position in the loss.
    offsets : float32 tensor `[N, C]` or None
        Outputs of each position, to which those of the network are added.
    who : str
        Member and fold, for messages.
    """

    def __init__(
        self,
        fabric: Fabric,
        loader: Callable[[Rows], tuple[Tensor, Tensor]],
        targets: Tensor,
        loss: Loss,
        row_weights: Tensor | None = None,
        offsets: Tensor | None = None,
        *,
        who: str,
    ) -> None:
        self.fabric, self.loader, self.targets, self.loss = fabric, loader, targets, loss
        self.row_weights, self.offsets, self.who = row_weights, offsets, who

    def __call__(self, model: nn.Module, positions: Rows, size: int) -> Tensor:
        """Compute the gradients of a batch, with at most `size` images at once.

        Parameters
        ----------
        model : nn.Module
        positions : int64 `[B]`
        size : int

        Returns
        -------
        float32 tensor `[2]`
            Loss and score of the batch. The loss is the weighted mean over the whole batch, however it is
            divided.

        Raises
        ------
        TrainingError
            The network does not accept images of this size.
        """
        if size >= len(positions):
            return self._part(model, positions)
        parts = np.array_split(positions, math.ceil(len(positions) / size))
        whole, total = self._weight(positions), torch.zeros(2, device=self.targets.device)
        for index, part in enumerate(parts):
            shares = torch.stack([self._weight(part) / whole, whole.new_tensor(len(part) / len(positions))])
            with self.fabric.no_backward_sync(model, enabled=index < len(parts) - 1):
                total += self._part(model, part, shares[0]) * shares
        return total

    def _part(self, model: nn.Module, positions: Rows, share: Tensor | None = None) -> Tensor:
        """Return loss and score of rows processed at once; `share` scales their gradients."""
        images, labels = self.loader(positions)
        with as_training_error(self.who, images.shape):
            outputs = model(images)
            loss, result = self.judge(outputs, labels, positions)
            self.fabric.backward(loss if share is None else loss * share)
        return result

    def judge(self, outputs: Tensor, labels: Tensor, positions: Rows) -> tuple[Tensor, Tensor]:
        """Judge the outputs of a network for positions that are processed at once.

        Returns
        -------
        loss : float32 tensor
        result : float32 tensor `[2]`
            Loss and score without a gradient.
        """
        rows = torch.from_numpy(positions)
        if self.offsets is not None:
            outputs = outputs + self.offsets[rows]
        loss = self._mean(outputs, labels, rows)
        return loss, torch.stack([loss.detach(), self.loss.scored(outputs, labels)])

    def _mean(self, outputs: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        if self.row_weights is None:
            return self.loss.mean(outputs, labels)
        each = self.loss.each(outputs, labels)
        return (each * self.row_weights[rows]).sum() / self._weight(rows)

    def _weight(self, positions: Rows | Tensor) -> Tensor:
        """Return the sum of the weights of rows, which divides the sum of their losses."""
        rows = torch.as_tensor(positions)
        weights = self.loss.weight(self.targets[rows])
        return (weights if self.row_weights is None else weights * self.row_weights[rows]).sum()
