"""Fusion of features: the embeddings of several networks go into one head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, cast

from torch import Tensor, nn

from committee.errors import UsageError
from committee.models.composites.base import Composite
from committee.models.fusions.attention import Attention
from committee.models.fusions.base import FUSIONS, FusionHead
from committee.models.member import Member


class Fusion(Composite):
    """Members whose embeddings one head reads.

    Parameters
    ----------
    parts : sequence of Member
        Each with an embedding.
    class_names, name
        See the base class.
    head : FusionHead
    method : str
        The head's name.
    """

    def __init__(
        self, parts: Sequence[nn.Module], class_names: Sequence[str], name: str, head: FusionHead, method: str
    ) -> None:
        super().__init__(parts, class_names, name)
        self.head, self.method = head, method

    def options(self) -> dict[str, Any]:
        """Return what the head is built from."""
        head = self.head
        return {
            "method": self.method,
            "sizes": list(head.sizes),
            "hidden_dims": list(head.hidden_dims),
            "dropout": head.dropout,
        }

    @classmethod
    def rebuild(
        cls, parts: Sequence[nn.Module], class_names: Sequence[str], name: str, **options: Any
    ) -> Self:
        """Build one again, untrained; see the base class."""
        method = options.pop("method")
        head = FUSIONS.make(method, classes=len(class_names), **options)
        return cls(parts, class_names, name, head, method)

    def forward(self, images: Tensor) -> Tensor:
        """Turn photos, uint8 `[B, c, H, W]`, into logits `[B, C]`."""
        return self.head(self.embeddings(images))

    def embeddings(self, images: Tensor) -> list[Tensor]:
        """Return the embeddings of photos by each network, `[B, D]`."""
        return [cast("Member", part).embed(images).float() for part in self.parts]

    def attend(self, images: Tensor) -> Tensor:
        """Return the weight of each network in the answer to each photo, `[B, M]`.

        Raises
        ------
        UsageError
            The head has no such weights: it is not `attention`.
        """
        if not isinstance(self.head, Attention):
            raise UsageError(self.name, expected="the fusion attention", got=self.method)
        return self.head.attend(self.embeddings(images))
