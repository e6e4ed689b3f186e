"""What every fusion head does: embeddings of several networks in, logits out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from committee.base.registry import Family

Batches = Callable[[], Iterator[list[Tensor]]]
"""Goes once through the rows: for some of them at a time, the embeddings `[B, D]` by each network."""
SMALLEST = 1e-6


class FusionHead(nn.Module, ABC):
    """A small network on the embeddings of others, each of which it standardizes.

    Parameters
    ----------
    sizes : sequence of int
        Widths of the embeddings, network by network.
    classes : int
    hidden_dims : sequence of int
        Widths of its hidden layers.
    dropout : float
        Share of hidden values dropped in training.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        classes: int,
        hidden_dims: Sequence[int] = (256, 128),
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        self.sizes, self.classes = tuple(sizes), classes
        self.hidden_dims, self.dropout = tuple(hidden_dims), dropout
        for view, size in enumerate(sizes):
            self.register_buffer(f"mean_{view}", torch.zeros(size))
            self.register_buffer(f"scale_{view}", torch.ones(size))
        self._layers()

    @abstractmethod
    def _layers(self) -> None:
        """Make the layers."""

    @abstractmethod
    def fuse(self, views: Sequence[Tensor]) -> Tensor:
        """Turn standardized embeddings, `[B, D]` of each network, into logits `[B, C]`."""

    def forward(self, embeddings: Sequence[Tensor]) -> Tensor:
        """Turn embeddings, `[B, D]` of each network, into logits `[B, C]`."""
        return self.fuse(self.standard(embeddings))

    def standard(self, embeddings: Sequence[Tensor]) -> list[Tensor]:
        """Return embeddings of mean 0 and spread 1 over the rows that `prepare` saw."""
        return [
            (each - getattr(self, f"mean_{view}")) * getattr(self, f"scale_{view}")
            for view, each in enumerate(embeddings)
        ]

    @torch.no_grad()
    def prepare(self, batches: Batches) -> None:
        """Take what needs no gradient from the rows that are trained on: means and spreads."""
        count, sums, squares = 0, list[Tensor](), list[Tensor]()
        for views in batches():
            parts = [view.double() for view in views]
            count += len(parts[0])
            _add(sums, [part.sum(0) for part in parts])
            _add(squares, [part.square().sum(0) for part in parts])
        for view, (total, square) in enumerate(zip(sums, squares, strict=True)):
            mean = total / count
            spread = (square / count - mean.square()).clamp(min=0).sqrt()
            # A value that never changes says nothing; divided by nearly nothing it would say too much.
            scale = torch.where(spread > SMALLEST, 1 / spread.clamp(min=SMALLEST), 0.0)
            cast("Tensor", getattr(self, f"mean_{view}")).copy_(mean)
            cast("Tensor", getattr(self, f"scale_{view}")).copy_(scale)


FUSIONS: Family[FusionHead] = Family("committee.models.fusions", "fusion")


def mlp(size: int, hidden_dims: Sequence[int], classes: int, dropout: float) -> nn.Sequential:
    """Return layers from `size` values over hidden ones to logits."""
    layers: list[nn.Module] = []
    widths = [size, *hidden_dims]
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.GELU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], classes))


def _add(totals: list[Tensor], parts: Sequence[Tensor]) -> None:
    totals[:] = [total + part for total, part in zip(totals, parts, strict=True)] if totals else list(parts)
