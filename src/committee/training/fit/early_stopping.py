"""Choice of the best epoch on a validation slice of the training rows, never on held-out rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call

from committee.base.objectives import AUTO
from committee.errors import RecipeError, TrainingError
from committee.images.dataset import Dataset
from committee.models.member import Member
from committee.predictions.target_types import CLASSES
from committee.recipe.training import EarlyStop, Training
from committee.tasks.base import Task, task_for
from committee.training.fit.batches import Rows, inner_slice
from committee.training.fit.input_errors import as_training_error
from committee.training.fit.job import Job
from committee.training.fit.predict import pixels_of
from committee.training.fit.weight_trackers import Weights


def stopping_rule(settings: Training, epochs: int | None) -> EarlyStop | None:
    """Return how epochs are judged; None if their number is fixed, as in a refit after folds."""
    if epochs is not None or not (settings.early_stop or settings.best_checkpoint):
        return None
    return settings.early_stop or EarlyStop(patience=None)


def judging_rows(dataset: Dataset) -> Rows:
    """Return the val rows that judge epochs if there are no folds: a share, the same for all members.

    The other rows stay unseen, so that combiners and temperatures can be fitted on it. The result is empty
    if there is no val split.
    """
    rows = dataset.rows("val")
    if not len(rows) or dataset.judging_share == 1:
        return rows
    groups = None if dataset.groups is None else dataset.groups[rows]
    return rows[inner_slice(dataset.strata[rows], groups, dataset.judging_share, seed=0)[1]]


def split_rows(job: Job) -> tuple[Rows, Rows]:
    """Return the positions in `job.rows` that a fit trains on, and the rows that judge its epochs.

    The latter are half of the val split if there are no folds and a val split, and else a slice of the
    training rows.

    Raises
    ------
    TrainingError
        There are too few rows, or groups, to set any aside.
    """
    rule = stopping_rule(job.spec.training, job.epochs)
    every = np.arange(len(job.rows))
    if rule is None:
        return every, job.rows[:0]
    if not job.spec.training.folds and len(judging := judging_rows(job.dataset)):
        return every, judging
    groups = None if job.dataset.groups is None else job.dataset.groups[job.rows]
    if groups is None and len(np.unique(job.rows)) < len(job.rows):
        groups = job.rows  # A bootstrap sample: copies of a row stay together.
    kept, inner = inner_slice(job.dataset.strata[job.rows], groups, rule.fraction, job.seed("inner"))
    if not len(inner):
        raise TrainingError(
            job.name,
            expected="enough rows to set some aside for judging epochs",
            got="a single group, or one row per class",
            todo="Set training.early_stop=null and training.best_checkpoint=false.",
        )
    return kept, job.rows[inner]


@torch.no_grad()
def inner_outputs(
    job: Job, member: Member, weights: Weights, rows: Rows, size: int, check_interrupt: Callable[[], None]
) -> NDArray[np.float32]:
    """Return log-probabilities or numbers of rows, or of their pixels, by a member with the given weights.

    Parameters
    ----------
    job : Job
    member : Member
        Its network is in evaluation mode afterwards.
    weights : mapping of str to Tensor
        State dict that is used instead of the network's own.
    rows : int64 `[N]`
        Rows of the data set.
    size : int
        Images in a batch.
    check_interrupt : callable
        Called before each batch.

    Returns
    -------
    float32 array `[N, C]`
    """
    network: nn.Module = member.network.eval()
    device = next(iter(weights.values())).device
    named = {f"network.{name}": value for name, value in weights.items()}

    def run(images: Tensor) -> Tensor:
        check_interrupt()
        with as_training_error(job.name, member.view.size):
            return functional_call(member, named, (images,))

    task = job.dataset.task
    if job.dataset.maps is not None:
        return task.normalized(torch.from_numpy(pixels_of(run, job.dataset, rows, device))).numpy()
    parts = []
    for start in range(0, len(rows), size):
        check_interrupt()
        images = member.view(job.dataset.images(rows[start : start + size], member.view).to(device))
        with as_training_error(job.name, images.shape):
            outputs = functional_call(network, weights, (images,))
        parts.append(task.normalized(outputs.float()).cpu().numpy())
    return np.concatenate(parts)


def judge(rule: EarlyStop, task: Task, who: str = "training") -> str:
    """Return the metric that judges epochs.

    Raises
    ------
    RecipeError
        It is not one of those of the task.
    """
    if rule.metric != AUTO and rule.metric not in task.judged:
        raise RecipeError(
            f"{who}: training.early_stop.metric",
            expected=f"one of {', '.join(task.judged)}, for {task.target_type.name}",
            got=f"'{rule.metric}'",
            todo=f"Leave it out, which means {task.judged[0]}.",
        )
    return task.judged[0] if rule.metric == AUTO else rule.metric


class BestEpoch:
    """The best epoch so far, by a metric on the validation slice.

    Parameters
    ----------
    rule : EarlyStop
        Metric and patience.
    task : Task, optional
        What is predicted; classes by default.
    keep_weights : bool
        Whether the weights of the best epoch are kept (`best_checkpoint`).

    Attributes
    ----------
    epoch : int
        Number of the best epoch, or 0.
    score : float
        Its score, with the sign changed where lower is better.
    weights : dict of str to Tensor, or None
        Its state dict, if weights are kept.

    Examples
    --------
    >>> from committee.recipe.training import EarlyStop
    >>> best = BestEpoch(EarlyStop(patience=1, metric="log_loss"), keep_weights=False)
    >>> for epoch, loss in enumerate([0.9, 0.7, 0.8], start=1):
    ...     best.update(epoch, {"log_loss": loss}, weights={})
    >>> best.epoch, best.should_stop(3)
    (2, True)
    """

    def __init__(self, rule: EarlyStop, keep_weights: bool, task: Task | None = None) -> None:
        task = task or task_for(CLASSES)
        self.rule, self.keep_weights, self.metric = rule, keep_weights, judge(rule, task)
        self.sign = 1.0 if task.metric(self.metric).higher_is_better else -1.0
        self.epoch, self.score = 0, -float("inf")
        self.weights: Weights | None = None

    def update(self, epoch: int, scores: dict[str, float], weights: Weights) -> None:
        """Compare an epoch with the best one so far; the earlier of two equal epochs stays the best."""
        score = self.sign * scores[self.metric]
        if score > self.score:
            self.epoch, self.score = epoch, score
            if self.keep_weights:
                self.weights = {name: value.detach().clone() for name, value in weights.items()}

    def should_stop(self, epoch: int) -> bool:
        """Return whether the best epoch is `patience` epochs ago."""
        return self.rule.patience is not None and epoch - self.epoch >= self.rule.patience

    def state_dict(self) -> dict[str, Any]:
        """Return the state, for `load_state_dict`."""
        return {"epoch": self.epoch, "score": self.score, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state that `state_dict` returned."""
        self.epoch, self.score, self.weights = state["epoch"], state["score"], state["weights"]
