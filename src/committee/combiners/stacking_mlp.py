"""Stacking by a small network: it learns a correction of the members' mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, linear

from committee.base.limits import a_share, at_least
from committee.base.randomness import derive
from committee.combiners._stacker import Floats, Rows, Stacker
from committee.solvers.small_networks import dropped, layers, train_chosen

if TYPE_CHECKING:
    from committee.predictions.table import Predictions


class StackingMlp(Stacker):
    """A multilayer perceptron on the members' answers, added to the log of their mean probability.

    Its last layer starts at zero: so it starts as soft voting and learns a correction. The number of epochs
    is chosen by the log-loss of a cross-validation inside the given rows (5,000 of them at most); it may be
    none.

    Parameters
    ----------
    hidden_dims : sequence of int
        Widths of the hidden layers.
    epochs : int
        Epochs at most.
    lr : float
        Highest learning rate of AdamW; it falls to zero.
    dropout : float
        Share of hidden values dropped in training.
    features : str
        `log_probability`: members that are sure move its output far; or `probability`: by one at most.
    extras : bool
        Show each member's entropy and margin, and the members' disagreement, too.
    folds : int
        Folds of that cross-validation, at most.
    seed : int
        Draws folds, weights, batches and dropout.
    """

    ensemble_name = "stacking_mlp"

    def __init__(
        self,
        hidden_dims: Sequence[int] = (256, 128),
        epochs: int = 50,
        lr: float = 1e-3,
        dropout: float = 0.3,
        features: str = "log_probability",
        extras: bool = False,
        folds: int = 3,
        seed: int = 0,
    ) -> None:
        super().__init__(features, extras, folds, seed)
        self.hidden_dims = hidden_dims
        self.epochs = epochs
        self.lr = lr
        self.dropout = dropout

    def train_on(
        self, features: Floats, labels: Rows, classes: int, predictions: Predictions
    ) -> dict[str, Any]:
        """Choose the number of epochs, then fit all rows."""
        a_share(f"{self.key}.dropout", self.dropout)
        at_least(f"{self.key}.epochs", self.epochs, 0)
        mean, scale = features.mean(axis=0), features.std(axis=0)
        scale[scale < 1e-4] = 1.0
        self.set_buffers(mean=mean, scale=scale)
        shown = torch.from_numpy((features - mean) / scale)
        logits = torch.from_numpy(predictions.logits.copy())
        task = _Task(shown, self._pool(self._arranged(logits)), torch.from_numpy(labels), self.dropout)
        sizes = [shown.shape[1], *self.hidden_dims, classes]
        parameters, notes = train_chosen(
            task,
            lambda generator: layers(sizes, generator),
            self.held_out(predictions),
            len(labels),
            epochs=self.epochs,
            lr=self.lr,
            seed=derive(self.seed, self.key),
        )
        self.set_buffers(**{f"layer_{place}": each for place, each in enumerate(parameters)})
        return notes

    def _pool(self, logits: Tensor) -> Tensor:
        """Return the log of the members' mean probability of the classes that had rows, `[B, K]`."""
        pooled = logits.log_softmax(dim=2).logsumexp(dim=0) - math.log(len(logits))
        return pooled.index_select(1, self.learned("known_places"))

    def scores(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return the members' mean and the network's correction, in logs."""
        count = 2 * (len(self.hidden_dims) + 1)
        weights = [self.learned(f"layer_{place}").to(features.dtype) for place in range(count)]
        mean, scale = (self.learned(name).to(features.dtype) for name in ("mean", "scale"))
        return self._pool(logits) + network((features - mean) / scale, weights)


@dataclass(frozen=True, eq=False)
class _Task:
    """What a correction is learned from: features `[N, F]`, log mean probability `[N, K]`, labels `[N]`."""

    shown: Tensor
    pooled: Tensor
    labels: Tensor
    dropout: float

    def loss(self, weights: Sequence[Tensor], rows: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return the log-loss of some rows; without a generator nothing is dropped."""
        share = 0.0 if generator is None else self.dropout
        correction = network(self.shown[rows], weights, share, generator)
        return cross_entropy(self.pooled[rows] + correction, self.labels[rows])


def network(
    shown: Tensor, weights: Sequence[Tensor], dropout: float = 0.0, generator: torch.Generator | None = None
) -> Tensor:
    """Return the output of layers with ReLU between them, `[B, K]`, for features `[B, F]`."""
    hidden = shown
    for place in range(0, len(weights) - 2, 2):
        hidden = linear(hidden, weights[place], weights[place + 1]).relu()
        if dropout and generator is not None:
            hidden = dropped(hidden, dropout, generator)
    return linear(hidden, weights[-2], weights[-1])
