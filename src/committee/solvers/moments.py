"""Moments of mixtures of predicted distributions: a mean and a variance of each number."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def parts_of_variance(outputs: Tensor, shares: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Return the aleatoric and the epistemic part of the variance of a mixture, each `[N, T]`.

    Parameters
    ----------
    outputs : float tensor [M, N, T, 2]
        Mean and variance of each number, by each member.
    shares : float tensor [M]
        Weights of the members, of sum 1.
    mean : float tensor [N, T]
        What the ensemble predicts, from which the means of the members are counted.

    See Also
    --------
    committee.metrics.mixture_moments : The same for arrays.

    Examples
    --------
    >>> import torch
    >>> from committee.solvers.moments import parts_of_variance
    >>> outputs = torch.tensor([[[[1.0, 16.0]]], [[[7.0, 16.0]]]])
    >>> [part.item() for part in parts_of_variance(outputs, torch.tensor([0.5, 0.5]), torch.tensor([[4.0]]))]
    [16.0, 9.0]
    """
    values, variances = outputs.unbind(-1)
    weight = shares.to(outputs).reshape(-1, 1, 1)
    return (weight * variances).sum(0), (weight * (values - mean).square()).sum(0)


def mixed(outputs: Tensor, shares: Tensor, mean: Tensor) -> Tensor:
    """Return mean and variance of a mixture, `[N, T, 2]`; see `parts_of_variance`."""
    return torch.stack([mean, sum(parts_of_variance(outputs, shares, mean), torch.zeros_like(mean))], -1)


def shares_of(weights: Mapping[str, float] | None, members: int) -> list[float]:
    """Return the weight of each member in the mixture of their distributions: equal without weights."""
    return list(weights.values()) if weights else [1 / members] * members
