"""A mixture of experts: a gate on a small view of each photo says which members answer it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from committee.images.view import View
from committee.models.composites.base import Composite

CHANNELS = (16, 32)
"""Widths of the gate's two convolutions."""


class Moe(Composite):
    """Members, of which a gate asks the `top_k` that it trusts most with a photo (Shazeer et al. 2017).

    Their probabilities are averaged by the gate's weights, which sum to 1.

    Parameters
    ----------
    parts : sequence of nn.Module
        The experts.
    class_names, name
        See the base class.
    view : View
        What the gate sees.
    hidden_dim : int
        Width of its hidden layer.
    top_k : int
        Moe that answer a photo.
    """

    is_conditional = True

    def __init__(
        self,
        parts: Sequence[nn.Module],
        class_names: Sequence[str],
        name: str,
        view: View,
        hidden_dim: int,
        top_k: int,
    ) -> None:
        super().__init__(parts, class_names, name)
        self.view, self.hidden_dim, self.top_k = view, hidden_dim, top_k
        self.gate = _Gate(view.channels, hidden_dim, len(parts))

    def options(self) -> dict[str, Any]:
        """Return the gate's view and sizes."""
        return {"view": self.view.options(), "hidden_dim": self.hidden_dim, "top_k": self.top_k}

    @classmethod
    def rebuild(
        cls, parts: Sequence[nn.Module], class_names: Sequence[str], name: str, **options: Any
    ) -> Self:
        """Build one again, untrained; see the base class."""
        return cls(parts, class_names, name, **{**options, "view": View(**options["view"])})

    def weights(self, images: Tensor) -> Tensor:
        """Return the weight of each expert in the answer to each photo, `[B, E]`; 0 where it is not asked."""
        return sparse(self.gate(self.view(images))[:, : len(self.parts)], self.top_k)

    def forward(self, images: Tensor) -> Tensor:
        """Turn photos, uint8 `[B, c, H, W]`, into log-probabilities `[B, C]`; all experts run."""
        return mix(torch.stack([part(images) for part in self.parts], 1), self.weights(images))

    def infer(self, images: Tensor) -> Tensor:
        """Return what `forward` returns; an expert runs on the photos that the gate sends to it alone."""
        weights = self.weights(images)
        total: Tensor | None = None
        for expert, part in enumerate(self.parts):
            rows = weights[:, expert].nonzero()[:, 0]
            if len(rows):
                ask = getattr(part, "infer", part)
                answer = ask(images if len(rows) == len(images) else images[rows])
                share = answer.float().softmax(1) * weights[rows, expert, None]
                total = share.new_zeros(len(images), share.shape[1]) if total is None else total
                total.index_add_(0, rows, share)
        return cast("Tensor", total).log()


class _Gate(nn.Module):
    """Two convolutions with strides, their mean over the picture, and a hidden layer.

    Parameters
    ----------
    channels : int
        Of its images.
    hidden_dim : int
    experts : int
        E.
    """

    def __init__(self, channels: int, hidden_dim: int, experts: int) -> None:
        super().__init__()
        first, second = CHANNELS
        self.stem = nn.Sequential(
            nn.Conv2d(channels, first, 3, 2, 1),
            nn.GELU(),
            nn.Conv2d(first, second, 3, 2, 1),
            nn.GELU(),
            nn.AdaptiveAvgPool2d(4),
            nn.Flatten(),
        )
        self.head = nn.Sequential(
            nn.Linear(second * 16, hidden_dim), nn.GELU(), nn.Linear(hidden_dim, 2 * experts)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Turn small images into `[B, 2 E]`: a logit for each expert, and how noisy it is in training."""
        return self.head(self.stem(images))


def sparse(logits: Tensor, top_k: int) -> Tensor:
    """Return the softmax over the `top_k` largest of each row's logits, 0 elsewhere."""
    largest, places = logits.topk(min(top_k, logits.shape[1]), dim=1)
    return torch.zeros_like(logits).scatter(1, places, largest.softmax(1))


def mix(logits: Tensor, weights: Tensor) -> Tensor:
    """Return the log of the experts' probabilities, weighted: `[B, E, C]` and `[B, E]` to `[B, C]`."""
    # The least weight is no zero, whose logarithm some runtimes do not take.
    log_weights = torch.where(weights > 0, weights, 1.0).log()
    asked = torch.where(weights > 0, log_weights, -math.inf)
    return (logits.float().log_softmax(2) + asked.unsqueeze(2)).logsumexp(1)
