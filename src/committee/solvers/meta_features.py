"""Meta-features: the inputs of stacking learners, computed from the members' logits."""

from __future__ import annotations

import math

import torch
from torch import Tensor

INPUTS = ("log_probability", "probability")
FLOOR = -30.0
"""Smallest log-probability among the features, so that a very confident member does not dominate them."""


def meta_features(logits: Tensor, inputs: str, extras: bool) -> Tensor:
    """Return the features of each row, `[B, F]`, for logits `[M, B, C]`.

    Parameters
    ----------
    logits : tensor [M, B, C]
        Logits of the members.
    inputs : {"log_probability", "probability"}
        The first `M * C` features, by member and class.
    extras : bool
        Whether to append, for each member, the entropy and the margin between the two most probable classes,
        and for the row the disagreement of the members: the mean Kullback-Leibler divergence from their mean,
        in nats. These are `2 * M + 1` features.
    """
    log_probs = logits.log_softmax(dim=2).clamp_min(FLOOR)
    values = log_probs if inputs == "log_probability" else log_probs.exp()
    parts = [values.transpose(0, 1).flatten(1)]
    if extras:
        probs = log_probs.exp()
        entropy = -(probs * log_probs).sum(dim=2)
        first, second = probs.topk(2, dim=2).values.unbind(dim=2)
        pooled = log_probs.logsumexp(dim=0) - math.log(len(logits))
        disagreement = -(pooled.exp() * pooled).sum(dim=1) - entropy.mean(dim=0)
        parts += [entropy.t(), (first - second).t(), disagreement[:, None]]
    return torch.cat(parts, dim=1)
