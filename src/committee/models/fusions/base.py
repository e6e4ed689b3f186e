"""The base class of fusion heads, from the embeddings of several networks to logits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from committee.base.registry import Family

Batches = Callable[[], Iterator[list[Tensor]]]
"""Returns an iterator over batches of rows: the embeddings `[B, D]` of each network."""
SMALLEST = 1e-6


class FusionHead(nn.Module, ABC):
    """Base class of small networks on the standardized embeddings of several networks.

    An entry implements `_layers` and `fuse`, and may extend `prepare`.

    Parameters
    ----------
    sizes : sequence of int
        Width of the embedding of each network.
    classes : int
        Number of classes.
    hidden_dims : sequence of int
        Widths of the hidden layers.
    dropout : float
        Share of hidden values that are dropped in training.

    See Also
    --------
    committee.models.composites.Fusion : The model of networks and a head.

    Examples
    --------
    A linear layer on all embeddings:

    >>> import torch
    >>> from committee.models.fusions import FusionHead
    >>> class Linear(FusionHead):
    ...     def _layers(self):
    ...         self.linear = torch.nn.Linear(sum(self.sizes), self.classes)
    ...
    ...     def fuse(self, views):
    ...         return self.linear(torch.cat(list(views), 1))
    >>> Linear(sizes=[6, 4], classes=3)([torch.randn(2, 6), torch.randn(2, 4)]).shape
    torch.Size([2, 3])
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
        """Create the layers."""

    @abstractmethod
    def fuse(self, views: Sequence[Tensor]) -> Tensor:
        """Return logits `[B, C]` for standardized embeddings, `[B, D]` for each network."""

    def forward(self, embeddings: Sequence[Tensor]) -> Tensor:
        """Return logits `[B, C]` for embeddings, `[B, D]` for each network."""
        return self.fuse(self.standard(embeddings))

    def standard(self, embeddings: Sequence[Tensor]) -> list[Tensor]:
        """Return embeddings with mean 0 and standard deviation 1 on the rows that were given to `prepare`."""
        return [
            (each - getattr(self, f"mean_{view}")) * getattr(self, f"scale_{view}")
            for view, each in enumerate(embeddings)
        ]

    @torch.no_grad()
    def prepare(self, batches: Batches) -> None:
        """Compute what needs no gradient from the training rows: means and standard deviations."""
        count, sums, squares = 0, list[Tensor](), list[Tensor]()
        for views in batches():
            parts = [view.double() for view in views]
            count += len(parts[0])
            _add(sums, [part.sum(0) for part in parts])
            _add(squares, [part.square().sum(0) for part in parts])
        for view, (total, square) in enumerate(zip(sums, squares, strict=True)):
            mean = total / count
            spread = (square / count - mean.square()).clamp(min=0).sqrt()
            # A constant feature is set to zero; divided by its rounding errors it would become noise.
            scale = torch.where(spread > SMALLEST, 1 / spread.clamp(min=SMALLEST), 0.0)
            cast("Tensor", getattr(self, f"mean_{view}")).copy_(mean)
            cast("Tensor", getattr(self, f"scale_{view}")).copy_(scale)


FUSIONS: Family[FusionHead] = Family("committee.models.fusions", "fusion")


def mlp(size: int, hidden_dims: Sequence[int], classes: int, dropout: float) -> nn.Sequential:
    """Return a multilayer perceptron with GELU and dropout, from `size` features to logits."""
    layers: list[nn.Module] = []
    widths = [size, *hidden_dims]
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.GELU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], classes))


def _add(totals: list[Tensor], parts: Sequence[Tensor]) -> None:
    totals[:] = [total + part for total, part in zip(totals, parts, strict=True)] if totals else list(parts)
