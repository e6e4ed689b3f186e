"""Mixture of experts: a gate on a small version of each image chooses the members that predict it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from committee.base.tracing import has_branches, when
from committee.images.view import View
from committee.models.batch import Batch
from committee.models.composites.base import Composite

CHANNELS = (16, 32)
"""Widths of the two convolutions of the gate."""


class Moe(Composite):
    """A sparsely gated mixture of experts (Shazeer et al. 2017).

    For each image a gate chooses `top_k` members. Their probabilities, or numbers, are averaged with the
    weights of the gate, which sum to 1.

    Parameters
    ----------
    parts : sequence of nn.Module
        The experts.
    class_names : sequence of str
        Names of the classes or targets, in the order of the outputs.
    name : str
        Name of the composite; a slug that is unique in an ensemble.
    view : View
        The preprocessing of the gate.
    hidden_dim : int
        Width of the hidden layer of the gate.
    top_k : int
        Number of experts for each image.

    See Also
    --------
    committee.training.plans.MoePlan : The plan that trains the gate.

    References
    ----------
    N. Shazeer et al. (2017). Outrageously large neural networks: the sparsely-gated mixture-of-experts layer.
    ICLR.

    Examples
    --------
    >>> import torch
    >>> from committee.images.view import View
    >>> from committee.models.composites import Moe
    >>> experts = [torch.nn.Identity() for _ in range(3)]
    >>> gate_view = View(size=8, mean=0.5, std=0.25)
    >>> moe = Moe(experts, ["cat", "dog"], "moe", gate_view, hidden_dim=4, top_k=1).eval()
    >>> weights = moe.weights(torch.randint(0, 256, (4, 3, 20, 30), dtype=torch.uint8))
    >>> weights.shape, (weights > 0).sum(dim=1).tolist()
    (torch.Size([4, 3]), [1, 1, 1, 1])
    """

    is_conditional = True
    takes_batches = True
    serves = ("classes", "numbers")

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
        """Return the preprocessing and the sizes of the gate."""
        return {"view": self.view.options(), "hidden_dim": self.hidden_dim, "top_k": self.top_k}

    @classmethod
    def rebuild(
        cls, parts: Sequence[nn.Module], class_names: Sequence[str], name: str, **options: Any
    ) -> Self:
        """Create an untrained composite from its `options`."""
        return cls(parts, class_names, name, **{**options, "view": View(**options["view"])})

    def weights(self, images: Tensor | Batch) -> Tensor:
        """Return the weights of the experts for each image, `[B, E]`; 0 for experts that are not chosen."""
        pixels = Batch.of(images).normalized(self.view)
        return sparse(self.gate(pixels)[:, : len(self.parts)], self.top_k)

    def forward(self, images: Tensor | Batch) -> Tensor:
        """Return log-probabilities or numbers `[B, C]` for images, uint8 `[B, c, H, W]`; all experts run."""
        batch = Batch.of(images)
        weights = self.weights(batch)
        nothing = weights[:, :1].new_zeros(1).expand(weights.shape[0], len(self.class_names))
        logits = [
            when(weights[:, expert] > 0, batch.run(part).float(), nothing)
            for expert, part in enumerate(self.parts)
        ]
        return self.task.mix(torch.stack(logits, 1), weights)

    def infer(self, images: Tensor | Batch) -> Tensor:
        """Return the same as `forward`; an expert runs only on the images for which it is chosen."""
        if has_branches():
            return self(images)
        batch = Batch.of(images)
        weights = self.weights(batch)
        classes = len(self.class_names)
        logits = weights.new_zeros(len(batch), len(self.parts), classes)
        for expert, part in enumerate(self.parts):
            rows = weights[:, expert].nonzero()[:, 0]
            if len(rows):
                chosen = batch if len(rows) == len(batch) else batch.select(rows)
                logits[rows, expert] = chosen.run(part, lazy=True).float()
        return self.task.mix(logits, weights)


class _Gate(nn.Module):
    """Two strided convolutions, average pooling, and a hidden layer.

    Parameters
    ----------
    channels : int
        Number of channels of the images.
    hidden_dim : int
        Width of the hidden layer.
    experts : int
        Number of experts, E.
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
        """Return `[B, 2 E]` for small images: a logit for each expert, and its noise in training."""
        return self.head(self.stem(images))


def sparse(logits: Tensor, top_k: int) -> Tensor:
    """Return the softmax over the `top_k` largest logits of each row, and 0 for the others."""
    largest, places = logits.topk(min(top_k, logits.shape[1]), dim=1)
    return torch.zeros_like(logits).scatter(1, places, largest.softmax(1))
