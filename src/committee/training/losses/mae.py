"""Absolute error."""

from __future__ import annotations

from torch import Tensor

from committee.training.losses._numbers import OfErrors


class Mae(OfErrors):
    """Absolute error, in units of the standard deviation of the target; the network learns the median.

    See Also
    --------
    Huber : Squared error of small errors, and absolute error of large ones.

    Examples
    --------
    >>> import torch
    >>> from committee.training.losses import Mae
    >>> loss = Mae().prepare([], ["length"], scale=(2.0,))
    >>> loss.each(torch.tensor([[3.0], [6.0]]), torch.tensor([[1.0], [5.0]])).tolist()
    [1.0, 0.5]
    """

    def of(self, errors: Tensor) -> Tensor:
        """Return the absolute values."""
        return errors.abs()
