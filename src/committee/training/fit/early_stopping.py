"""When to stop, and which epoch to keep: judged on a slice of the training rows, never on held-out ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from committee.errors import TrainingError
from committee.metrics.classification import METRICS
from committee.models.member import Member
from committee.recipe.training import EarlyStop, Training
from committee.training.fit.batches import Rows, inner_slice
from committee.training.fit.input_errors import taking
from committee.training.fit.job import Job

Weights = dict[str, Tensor]


def judges(settings: Training, epochs: int | None) -> EarlyStop | None:
    """Return how epochs are judged; None where the number of epochs is fixed, as in a refit after folds."""
    if epochs is not None or not (settings.early_stop or settings.best_checkpoint):
        return None
    return settings.early_stop or EarlyStop(patience=None)


def divide(job: Job) -> tuple[Rows, Rows]:
    """Return the rows that a fit learns from, and those that judge its epochs.

    Raises
    ------
    TrainingError
        There are none to spare.
    """
    rule = judges(job.spec.training, job.epochs)
    if rule is None:
        return job.rows, job.rows[:0]
    groups = None if job.dataset.groups is None else job.dataset.groups[job.rows]
    if groups is None and len(np.unique(job.rows)) < len(job.rows):
        groups = job.rows  # of a bag: copies of a row stay together
    kept, judged = inner_slice(job.dataset.labels[job.rows], groups, rule.fraction, job.seed("inner"))
    if not len(judged):
        raise TrainingError(
            job.name,
            expected="spare rows to judge epochs by",
            got="one group, or a row a class",
            todo="Set training.early_stop=null and training.best_checkpoint=false.",
        )
    return job.rows[kept], job.rows[judged]


@torch.no_grad()
def inner_log_probs(
    job: Job, member: Member, weights: Weights, rows: Rows, size: int, heed: Callable[[], None]
) -> NDArray[np.float32]:
    """Return log-probabilities `[N, C]` of rows, by a member's network with other weights.

    Parameters
    ----------
    size : int
        Images at once.
    heed : callable
        Called before each batch.
    """
    network: nn.Module = member.network.eval()
    device = next(iter(weights.values())).device
    parts = []
    for start in range(0, len(rows), size):
        heed()
        images = member.view(job.dataset.images(rows[start : start + size]).to(device))
        with taking(job.name, images.shape[-1]):
            logits = functional_call(network, weights, (images,))
        parts.append(logits.float().log_softmax(1).cpu().numpy())
    return np.concatenate(parts)


class Choice:
    """The best epoch so far, by a metric on the inner slice.

    Parameters
    ----------
    rule : EarlyStop
        Metric and patience.
    keep_weights : bool
        Whether the best epoch's weights are wanted (`best_checkpoint`).
    """

    def __init__(self, rule: EarlyStop, keep_weights: bool) -> None:
        self.rule, self.keep_weights = rule, keep_weights
        self.sign = 1.0 if METRICS[rule.metric].higher_is_better else -1.0
        self.epoch, self.score, self.weights = 0, -float("inf"), None

    epoch: int
    score: float
    weights: Weights | None

    def judge(self, epoch: int, scores: dict[str, float], weights: Weights) -> None:
        """Take in an epoch; ties go to the earlier one."""
        score = self.sign * scores[self.rule.metric]
        if score > self.score:
            self.epoch, self.score = epoch, score
            if self.keep_weights:
                self.weights = {name: value.detach().clone() for name, value in weights.items()}

    def stop(self, epoch: int) -> bool:
        """Return whether patience is at an end."""
        return self.rule.patience is not None and epoch - self.epoch >= self.rule.patience

    def state(self) -> dict[str, Any]:
        """Return what `restore` takes."""
        return {"epoch": self.epoch, "score": self.score, "weights": self.weights}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a kept state."""
        self.epoch, self.score, self.weights = state["epoch"], state["score"], state["weights"]
