"""When to stop, and which epoch to keep: judged on a slice of the training rows, never on held-out ones."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from committee.metrics import METRICS
from committee.recipe.training import EarlyStop, Training

Weights = dict[str, Tensor]


def judges(settings: Training, epochs: int | None) -> EarlyStop | None:
    """Return how epochs are judged; None where the number of epochs is fixed, as in a refit after folds."""
    if epochs is not None or not (settings.early_stop or settings.best_checkpoint):
        return None
    return settings.early_stop or EarlyStop(patience=None)


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
