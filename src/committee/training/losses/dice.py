"""Dice loss."""

from __future__ import annotations

from torch import Tensor

from committee.training.losses._dice import OfOverlap, dice_loss


class Dice(OfOverlap):
    """One minus the soft Dice score, the mean over the classes (Milletari, Navab, Ahmadi 2016).

    Its networks are confident also where they are wrong: a temperature calibrates them.

    See Also
    --------
    DiceCrossEntropy : The sum with the cross-entropy.

    Examples
    --------
    >>> import torch
    >>> from committee.training.losses import Dice
    >>> loss = Dice().prepare([0, 1], ["background", "cell"])
    >>> loss.mean(torch.zeros(1, 2, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64)).round(decimals=2)
    tensor(0.6000)
    """

    without_effect = {  # noqa: RUF012
        **OfOverlap.without_effect,
        "label_smoothing": "the Dice score compares areas",
    }

    def each(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each image; see the base class."""
        return dice_loss(outputs, labels)
