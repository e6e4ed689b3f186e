"""The network of an estimator whose user gives none."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

WIDTH = 64


def perceptron(shape: int | Sequence[int], outputs: int) -> nn.Module:
    """Return a multilayer perceptron with two hidden layers of 64 units.

    Parameters
    ----------
    shape : int or sequence of int
        Number of features, or shape of one input, whose values are its features.
    outputs : int
        Number of classes or targets.

    Examples
    --------
    >>> from committee.in_memory.default_network import perceptron
    >>> sum(each.numel() for each in perceptron(10, 3).parameters())
    5059
    """
    features = shape if isinstance(shape, int) else math.prod(shape)
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(features, WIDTH),
        nn.ReLU(),
        nn.Linear(WIDTH, WIDTH),
        nn.ReLU(),
        nn.Linear(WIDTH, outputs),
    )
