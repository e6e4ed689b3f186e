"""The two weighted opinion pools (Genest and Zidek 1986), and their rule for ties."""

from __future__ import annotations

import torch
from torch import Tensor

TIE = 1e-5
"""Classes whose log-probability is lower than the highest by less than this are tied with it.

A difference of this size can be a rounding error, which depends on the order of a sum and on the runtime.
Since tied classes get equal values, the first of them is predicted everywhere.
"""


def linear_pool(logits: Tensor, weight: Tensor) -> Tensor:
    """Return the log of the weighted mean probability: `[M, B, C, ...]`, `[M]` -> `[B, C, ...]`."""
    return settle_ties((logits.log_softmax(dim=2) + _along_members(weight.log(), logits)).logsumexp(dim=0))


def log_pool(logits: Tensor, weight: Tensor) -> Tensor:
    """Return the normalized weighted mean of log-probabilities: `[M, B, C, ...]`, `[M]` -> `[B, C, ...]`."""
    pooled = (logits.log_softmax(dim=2) * _along_members(weight, logits)).sum(dim=0)
    return settle_ties(pooled.log_softmax(dim=1))


def equal_weights(logits: Tensor) -> Tensor:
    """Return equal weights `[M]` for logits `[M, ...]`."""
    return torch.full((len(logits),), 1 / len(logits), dtype=logits.dtype, device=logits.device)


def settle_ties(log_probs: Tensor) -> Tensor:
    """Return log-probabilities `[B, C, ...]` in which tied classes are equal."""
    top = log_probs.amax(dim=1, keepdim=True)
    return torch.where(log_probs >= top - TIE, top, log_probs)


def _along_members(weight: Tensor, logits: Tensor) -> Tensor:
    return weight.to(logits.dtype).reshape(-1, *[1] * (logits.ndim - 1))
