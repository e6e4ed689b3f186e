"""Huber's loss."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from committee.base.limits import above_zero
from committee.training.losses._numbers import OfErrors


class Huber(OfErrors):
    """Half of the squared error of small errors, and the absolute error of large ones (Huber 1964).

    Parameters
    ----------
    delta : float
        Size of an error from which its loss grows linearly, in standard deviations of the target.

    Raises
    ------
    UsageError
        `delta` is not above zero.

    See Also
    --------
    Mse : The limit of a large `delta`, without the factor of one half.

    References
    ----------
    P. J. Huber (1964). Robust estimation of a location parameter. Annals of Mathematical Statistics 35.

    Examples
    --------
    >>> import torch
    >>> from committee.training.losses import Huber
    >>> loss = Huber(delta=1.0).prepare([], ["length"], scale=(2.0,))
    >>> loss.each(torch.tensor([[3.0], [11.0]]), torch.tensor([[1.0], [5.0]])).tolist()
    [0.5, 2.5]
    """

    def __init__(self, delta: float = 1.0) -> None:
        self.delta = above_zero("training.loss: delta", delta)

    def of(self, errors: Tensor) -> Tensor:
        """Return Huber's function."""
        return functional.huber_loss(errors, torch.zeros_like(errors), reduction="none", delta=self.delta)
