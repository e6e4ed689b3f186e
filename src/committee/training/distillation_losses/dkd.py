"""Decoupled distillation: the target class and the other classes have weights of their own."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from committee.base.limits import at_least
from committee.training.distillation_losses.base import DistillationLoss

_EXCLUDED = -1e4
"""Logit of the class that is excluded from a softmax; finite, so that gradients are."""


class Dkd(DistillationLoss):
    """Decoupled knowledge distillation (Zhao et al. 2022, arXiv 2203.08679).

    The divergence of `kd` is the sum of that of the probability of the target class, and of that among the
    other classes. The second is weighted there by the probability that the teacher gives to all other
    classes, so it vanishes where the teacher is confident. Here, both have fixed weights.

    Parameters
    ----------
    temperature : float
        Divisor of the logits.
    target_weight : float
        Weight of the divergence of the target class from all others together (alpha in the paper).
    other_weight : float
        Weight of the divergence among the other classes (beta in the paper, which uses 1 to 8).

    Raises
    ------
    UsageError
        A weight is negative.

    See Also
    --------
    committee.training.distillation_losses.kd.Kd : The plain divergence.

    Examples
    --------
    >>> import torch
    >>> from committee.training.distillation_losses.dkd import Dkd
    >>> student, teacher = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[1.0, 0.5, 0.0]])
    >>> Dkd(temperature=1.0, target_weight=0.0)(student, teacher, torch.tensor([0])).item() > 0
    True
    """

    def __init__(
        self, temperature: float = 4.0, target_weight: float = 1.0, other_weight: float = 8.0
    ) -> None:
        self.temperature = temperature
        self.target_weight = at_least("dkd: target_weight", target_weight, 0.0)
        self.other_weight = at_least("dkd: other_weight", other_weight, 0.0)

    def __call__(self, student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of each image; see the base class."""
        is_target = functional.one_hot(labels, student.shape[1]).bool()
        own, target = ((each / self.temperature).log_softmax(1) for each in (student, teacher))
        binary = _divergence(_binary(own, is_target), _binary(target, is_target))
        others = _divergence(
            *(each.masked_fill(is_target, _EXCLUDED).log_softmax(1) for each in (own, target))
        )
        return (self.target_weight * binary + self.other_weight * others) * self.temperature**2


def _binary(log_probs: Tensor, is_target: Tensor) -> Tensor:
    """Return the log-probabilities `[B, 2]` of the target class and of all others together."""
    return torch.stack(
        [log_probs.masked_fill(mask, _EXCLUDED).logsumexp(1) for mask in (~is_target, is_target)], 1
    )


def _divergence(own: Tensor, target: Tensor) -> Tensor:
    return functional.kl_div(own, target, reduction="none", log_target=True).sum(1)
