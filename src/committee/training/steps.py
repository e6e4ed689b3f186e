"""One batch forward and backward, in parts where memory is short: their gradients add up to the batch's."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from committee.training.batches import Rows
from committee.training.words import taking


class Step:
    """Adds the gradients of a batch to those of a network.

    Parameters
    ----------
    fabric : Fabric
    shown : callable
        From positions int64 `[B]` to images float32 `[B, c, size, size]`.
    targets : int64 `[N]`
        Labels, by position.
    weights : float32 `[C]` or None
        Of each class in the loss.
    smoothing : float
        Share of the label that is spread over all classes.
    who : str
        Whose network it is, for people.
    """

    def __init__(
        self,
        fabric: Fabric,
        shown: Callable[[Rows], Tensor],
        targets: Tensor,
        weights: Tensor | None,
        smoothing: float,
        who: str,
    ) -> None:
        self.fabric, self.shown, self.targets, self.weights = fabric, shown, targets, weights
        self.smoothing, self.who = smoothing, who

    def __call__(self, model: nn.Module, positions: Rows, size: int) -> Tensor:
        """Go forward and backward, at most `size` images at once.

        Returns
        -------
        float32 `[2]`
            Loss and accuracy of the batch. However it is divided, the loss is the mean over all of it,
            weighted by class.

        Raises
        ------
        TrainingError
            The network cannot take the images.
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
        """Return loss and accuracy of rows at once; their gradients count by their share of the batch."""
        images, labels = self.shown(positions), self.targets[torch.from_numpy(positions)]
        with taking(self.who, images.shape[-1]):
            logits = model(images)
            loss = functional.cross_entropy(logits, labels, self.weights, label_smoothing=self.smoothing)
            self.fabric.backward(loss if share is None else loss * share)
        return torch.stack([loss.detach(), (logits.argmax(1) == labels).float().mean()])

    def _weight(self, positions: Rows) -> Tensor:
        """Return what the sum of these rows' losses is divided by, for their mean."""
        if self.weights is None:
            return self.targets.new_tensor(len(positions), dtype=torch.float32)
        return self.weights[self.targets[torch.from_numpy(positions)]].sum()
