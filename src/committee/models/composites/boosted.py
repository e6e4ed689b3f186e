"""A boosted series: networks that were trained one after the other, and the weight of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from committee.models.composites.base import Composite


class Boosted(Composite):
    """The weighted votes of a SAMME series, or the sum of a gradient-boosted one.

    Parameters
    ----------
    parts : sequence of nn.Module
        The stages.
    class_names, name
        See the base class.
    weights : sequence of float, or none
        Of the stages; left out, zeros that loading overwrites.
    votes : bool
        Whether a stage gives its best class its weight (SAMME), or its logits are added, times its weight.

    Notes
    -----
    With votes, the logits of K classes are those under which the exponential loss of SAMME is least (Zhu et
    al. 2009, equation 9): `f_c / (K - 1)`, where `f_c` sums the weights of stages that vote for c, and takes
    off `1 / (K - 1)` of the others. Scores of log-loss want a temperature; ranks do not change by it.
    """

    weights: Tensor

    def __init__(
        self,
        parts: Sequence[nn.Module],
        class_names: Sequence[str],
        name: str,
        weights: Sequence[float] | None = None,
        votes: bool = True,
    ) -> None:
        super().__init__(parts, class_names, name)
        self.votes = votes
        self.register_buffer("weights", torch.tensor(weights or [0.0] * len(parts), dtype=torch.float32))

    def options(self) -> dict[str, Any]:
        """Return whether stages vote."""
        return {"votes": self.votes}

    @classmethod
    def rebuild(
        cls, parts: Sequence[nn.Module], class_names: Sequence[str], name: str, **options: Any
    ) -> Self:
        """Build one again; see the base class."""
        return cls(parts, class_names, name, **options)

    def forward(self, images: Tensor) -> Tensor:
        """Turn photos, uint8 `[B, c, H, W]`, into logits `[B, C]`."""
        return combine(torch.stack([part(images) for part in self.parts]), self.weights, self.votes)


def combine(logits: Tensor, weights: Tensor, votes: bool) -> Tensor:
    """Combine the stages' logits `[K, B, C]` by their weights `[K]` into `[B, C]`."""
    weighed = weights.reshape(-1, 1, 1)
    if not votes:
        return (weighed * logits).sum(0)
    classes = logits.shape[2]
    others = 1 / (classes - 1)
    chosen = logits.argmax(2, keepdim=True) == torch.arange(classes, device=logits.device)
    return (weighed * (chosen * (1 + others) - others)).sum(0) / (classes - 1)
