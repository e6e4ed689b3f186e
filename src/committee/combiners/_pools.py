"""The two weighted opinion pools (Genest and Zidek 1986), as exportable tensor functions."""

from __future__ import annotations

import torch
from torch import Tensor

from committee.combiners.base import Query


def linear_pool(logits: Tensor, weight: Tensor) -> Tensor:
    """Return the log of the weighted mean probability: `[M, B, C, ...]`, `[M]` -> `[B, C, ...]`."""
    return (logits.log_softmax(dim=2) + _along_members(weight.log(), logits)).logsumexp(dim=0)


def log_pool(logits: Tensor, weight: Tensor) -> Tensor:
    """Return the normalized weighted mean of log-probabilities: `[M, B, C, ...]`, `[M]` -> `[B, C, ...]`."""
    return (logits.log_softmax(dim=2) * _along_members(weight, logits)).sum(dim=0).log_softmax(dim=1)


def used(logits: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits and weights of the members that have weight; the pools of the others are the same."""
    some = weight.nonzero()[:, 0]
    return (logits, weight) if len(some) == len(weight) else (logits[some], weight[some])


def query_used(query: Query, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits, `[H, B, C]`, and weights of the members that have weight; no other is asked."""
    some = weight.nonzero()[:, 0]
    return torch.stack([query(member, None) for member in some.tolist()]), weight[some]


def _along_members(weight: Tensor, logits: Tensor) -> Tensor:
    return weight.to(logits.dtype).reshape(-1, *[1] * (logits.ndim - 1))
