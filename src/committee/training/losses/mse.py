"""Squared error."""

from __future__ import annotations

from torch import Tensor

from committee.training.losses._numbers import OfErrors


class Mse(OfErrors):
    """Squared error, in units of the variance of the target; the network learns the mean.

    See Also
    --------
    Mae : Less sensitive to outliers.

    Examples
    --------
    >>> import torch
    >>> from committee.training.losses import Mse
    >>> loss = Mse().prepare([], ["length"], scale=(2.0,))
    >>> loss.each(torch.tensor([[3.0], [5.0]]), torch.tensor([[1.0], [5.0]])).tolist()
    [1.0, 0.0]
    """

    def of(self, errors: Tensor) -> Tensor:
        """Return the squares."""
        return errors.square()
