"""The two weighted opinion pools (Genest and Zidek 1986), and the base class of weighted combiners."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from committee.combiners.base import Combiner, Query


def linear_pool(logits: Tensor, weight: Tensor) -> Tensor:
    """Return the log of the weighted mean probability: `[M, B, C, ...]`, `[M]` -> `[B, C, ...]`."""
    return (logits.log_softmax(dim=2) + _along_members(weight.log(), logits)).logsumexp(dim=0)


def log_pool(logits: Tensor, weight: Tensor) -> Tensor:
    """Return the normalized weighted mean of log-probabilities: `[M, B, C, ...]`, `[M]` -> `[B, C, ...]`."""
    return (logits.log_softmax(dim=2) * _along_members(weight, logits)).sum(dim=0).log_softmax(dim=1)


class WeightedPool(Combiner):
    """A pool of the members with the weights in the buffer `weight`; a subclass sets the buffer.

    Attributes
    ----------
    pool : callable
        `linear_pool` or `log_pool`.
    """

    pool: Callable[[Tensor, Tensor], Tensor] = staticmethod(linear_pool)

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`."""
        return self.pool(logits, self.learned("weight"))

    def infer(self, logits: Tensor) -> Tensor:
        """Return the same as `forward`, from the members with a positive weight."""
        weight = self.learned("weight")
        used = weight.nonzero()[:, 0]
        if len(used) == len(weight):
            return self.pool(logits, weight)
        return self.pool(logits[used], weight[used])

    def forward_lazy(self, query: Query) -> Tensor:
        """Return the same as `forward`, requesting the members with a positive weight only."""
        weight = self.learned("weight")
        used = weight.nonzero()[:, 0]
        return self.pool(torch.stack([query(member, None) for member in used.tolist()]), weight[used])

    def member_weights(self) -> dict[str, float]:
        """Return the weights."""
        return dict(zip(self.member_names, self.learned("weight").tolist(), strict=True))


def _along_members(weight: Tensor, logits: Tensor) -> Tensor:
    return weight.to(logits.dtype).reshape(-1, *[1] * (logits.ndim - 1))
