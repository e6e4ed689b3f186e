"""Dice loss plus cross-entropy."""

from __future__ import annotations

from torch import Tensor

from committee.training.losses._dice import OfOverlap, dice_loss


class DiceCrossEntropy(OfOverlap):
    """The sum of the Dice loss and of the mean cross-entropy, as in nnU-Net (Isensee et al. 2021).

    Parameters
    ----------
    dice : float
        Weight of the Dice loss; that of the cross-entropy is 1.

    See Also
    --------
    Dice : The Dice loss alone.
    CrossEntropy : The cross-entropy alone.

    Examples
    --------
    >>> import torch
    >>> from committee.training.losses import DiceCrossEntropy
    >>> loss = DiceCrossEntropy().prepare([0, 1], ["background", "cell"])
    >>> loss.mean(torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64)).round(decimals=2)
    tensor(1.3000)
    """

    def __init__(self, dice: float = 1.0) -> None:
        self.dice = dice

    def each(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each image; see the base class."""
        return self.cross_entropy(outputs, labels) + self.dice * dice_loss(outputs, labels)
