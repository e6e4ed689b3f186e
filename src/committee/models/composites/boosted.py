"""Boosted series: networks that were trained one after the other, and their weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from committee.errors import UsageError
from committee.models.batch import Batch
from committee.models.composites.base import Composite


class Boosted(Composite):
    """The weighted votes of a SAMME series, or the weighted sum of a gradient-boosted series.

    Parameters
    ----------
    parts : sequence of nn.Module
        The stages.
    class_names : sequence of str
        Names of the classes or targets, in the order of the outputs.
    name : str
        Name of the composite; a slug that is unique in an ensemble.
    weights : sequence of float, optional
        Weights of the stages; by default zeros, which are overwritten when a composite is loaded.
    votes : bool
        Whether a stage votes for its most probable class with its weight (SAMME), or adds its logits times
        its weight (gradient boosting). Series of numbers are sums.

    See Also
    --------
    committee.training.plans.Boosting : The plan that trains a boosted series.

    Notes
    -----
    With votes, the logits of K classes minimize the exponential loss of SAMME (Zhu et al. 2009, equation 9).
    They are `f_c / (K - 1)`, where `f_c` is the sum of the weights of the stages that vote for class c, minus
    `1 / (K - 1)` times the sum of the other weights. A good log-loss requires a temperature, which does not
    change the predicted class.

    References
    ----------
    J. Zhu, H. Zou, S. Rosset, T. Hastie (2009). Multi-class AdaBoost. Statistics and Its Interface 2(3).

    Examples
    --------
    >>> import torch
    >>> from committee.models.composites import Boosted
    >>> parts = [torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3)) for _ in range(2)]
    >>> series = Boosted(parts, ["x", "y", "z"], "series", weights=[1.0, 0.5])
    >>> series(torch.rand(4, 3, 2, 2)).shape
    torch.Size([4, 3])
    """

    takes_batches = True
    serves = ("classes", "numbers")
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
        if votes and not self.task.logits:
            raise UsageError(
                f"{name}: boosted",
                expected=f"votes=False for {self.task.target_type.answers}",
                got="votes of stages for classes",
            )
        self.votes = votes
        self.register_buffer("weights", torch.tensor(weights or [0.0] * len(parts), dtype=torch.float32))

    def options(self) -> dict[str, Any]:
        """Return whether the stages vote."""
        return {"votes": self.votes}

    @classmethod
    def rebuild(
        cls, parts: Sequence[nn.Module], class_names: Sequence[str], name: str, **options: Any
    ) -> Self:
        """Create an untrained composite from its `options`."""
        return cls(parts, class_names, name, **options)

    def forward(self, images: Tensor | Batch) -> Tensor:
        """Return logits or numbers, float32 `[B, C]`, for images, uint8 `[B, c, H, W]`."""
        batch = Batch.of(images)
        return combine(torch.stack([batch.run(part) for part in self.parts]), self.weights, self.votes)


def combine(logits: Tensor, weights: Tensor, votes: bool) -> Tensor:
    """Return the combined logits `[B, C]` of stages with logits `[K, B, C]` and weights `[K]`."""
    weight = weights.reshape(-1, 1, 1)
    if not votes:
        return (weight * logits).sum(0)
    classes = logits.shape[2]
    others = 1 / (classes - 1)
    chosen = logits.argmax(2, keepdim=True) == torch.arange(classes, device=logits.device)
    ballots = chosen * (1 + others) - others
    # A stage whose logits are NaN has no vote, so that the result is NaN too.
    ballots = torch.where(logits.isnan().any(2, keepdim=True), math.nan, ballots)
    return (weight * ballots).sum(0) / (classes - 1)
