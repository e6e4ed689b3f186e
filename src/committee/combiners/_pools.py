"""The base class of combiners with a weight for each member."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from committee.combiners.base import Combiner, Query


class WeightedPool(Combiner):
    """A pool of the members with the weights in the buffer `weight`; a subclass sets the buffer.

    Attributes
    ----------
    space : {"probability", "logit"}
        The space in which outputs are averaged.
    """

    serves: ClassVar[tuple[str, ...]] = ("classes", "numbers")
    space: str = "probability"

    def pool(self, outputs: Tensor, weight: Tensor) -> Tensor:
        """Return the weighted mean `[B, C, ...]` of outputs `[M, B, C, ...]`."""
        return self.task.pool(outputs, weight, self.space)

    def forward(self, logits: Tensor) -> Tensor:
        """Return log-probabilities `[B, C, ...]` for logits `[M, B, C, ...]`.

        A member without weight does not change them, even if its logits are NaN or infinite.
        """
        weight = self.learned("weight")
        used = (weight > 0).reshape(-1, *[1] * (logits.ndim - 1))
        return self.pool(torch.where(used, logits, 0.0), weight)

    def infer(self, logits: Tensor) -> Tensor:
        """Return the same as `forward`, from the members with a positive weight."""
        weight = self.learned("weight")
        used = weight.nonzero()[:, 0]
        if len(used) == len(weight):
            return self.pool(logits, weight)
        return self.pool(logits[used], weight[used])

    def forward_lazy(self, query: Query) -> Tensor:
        """Return the same as `forward`, requesting the members with a positive weight only."""
        used = [member for member, weight in enumerate(self.numbers("weight")) if weight]
        logits = torch.stack([query(member, None) for member in used])
        return self.pool(logits, self.learned("weight")[used])

    def member_weights(self) -> dict[str, float]:
        """Return the weights."""
        return dict(zip(self.member_names, self.numbers("weight"), strict=True))
