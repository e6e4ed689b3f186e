"""Meta-features: what a stacking learner is shown of the members' answers, as a tensor function"""

from __future__ import annotations

import math

import torch
from torch import Tensor

INPUTS = ("log_probability", "probability")
FLOOR = -30.0
"""Least log-probability that is shown: one member's certainty shall not outweigh all else."""


def meta_features(logits: Tensor, inputs: str, extras: bool) -> Tensor:
    """Return what learners are shown, `[B, F]`, for logits `[M, B, C]`.

    Parameters
    ----------
    logits : tensor `[M, B, C]`
    inputs : {"log_probability", "probability"}
        The form of the answers: member by member, class by class, `M * C` of them.
    extras : bool
        Whether `M` entropies, `M` margins between the two most probable classes, and the row's disagreement
        (mean Kullback-Leibler divergence of the members from their mean, in nats) follow.
    """
    log_probs = logits.log_softmax(dim=2).clamp_min(FLOOR)
    shown = log_probs if inputs == "log_probability" else log_probs.exp()
    parts = [shown.transpose(0, 1).flatten(1)]
    if extras:
        probs = log_probs.exp()
        entropy = -(probs * log_probs).sum(dim=2)
        first, second = probs.topk(2, dim=2).values.unbind(dim=2)
        pooled = log_probs.logsumexp(dim=0) - math.log(len(logits))
        disagreement = -(pooled.exp() * pooled).sum(dim=1) - entropy.mean(dim=0)
        parts += [entropy.t(), (first - second).t(), disagreement[:, None]]
    return torch.cat(parts, dim=1)
