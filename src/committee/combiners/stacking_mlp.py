"""Stacking by a small network, which learns a correction of the members' mean."""

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
from committee.combiners._stacker import AUTO, Floats, Rows, Stacker, Trained
from committee.solvers.small_networks import dropped, layers, train_chosen

if TYPE_CHECKING:
    from committee.predictions.table import Predictions


class StackingMlp(Stacker):
    """A multilayer perceptron on the members' outputs, added to the log of their mean probability.

    The last layer is initialized with zeros, so that training starts from soft voting and learns a
    correction. The number of epochs is tuned by the log-loss of a cross-validation inside the given rows (at
    most 5,000 of them), and can be 0.

    Parameters
    ----------
    hidden_dims : sequence of int
        Widths of the hidden layers.
    epochs : int
        Largest number of epochs.
    lr : float
        Initial learning rate of AdamW, which decreases to zero.
    dropout : float
        Share of hidden values that are dropped in training, at least 0 and below 1.
    features : {"auto", "log_probability", "probability"}
        The form of the members' outputs among the features. A confident member changes its
        log-probabilities much, and its probabilities by at most 1. "auto" trains with both, and keeps the
        form with the smaller log-loss in the cross-validation.
    extras : bool
        Whether to add the entropy and the margin of each member, and the disagreement of the members.
    folds : int
        Largest number of folds of the cross-validation.
    seed : int
        Seed of the folds, weights, batches and dropout.

    Raises
    ------
    UsageError
        In `fit`: an option is out of range.

    See Also
    --------
    StackingLr : A linear layer on the same features.
    Attention : Weights of the members for each sample.

    Examples
    --------
    >>> from committee.combiners import StackingMlp
    >>> from committee.metrics import evaluate
    >>> from committee.predictions import simulate
    >>> rows = simulate({"a": 2.0, "b": 2.0})
    >>> fitted = StackingMlp(hidden_dims=[8], epochs=5).fit(rows)
    >>> evaluate(fitted.combine(rows.logits), rows.labels)["accuracy"] > 0.9
    True
    """

    ensemble_name = "stacking_mlp"

    def __init__(
        self,
        hidden_dims: Sequence[int] = (256, 128),
        epochs: int = 50,
        lr: float = 1e-3,
        dropout: float = 0.3,
        features: str = AUTO,
        extras: bool = False,
        folds: int = 3,
        seed: int = 0,
    ) -> None:
        super().__init__(features, extras, folds, seed)
        self.hidden_dims = hidden_dims
        self.epochs = epochs
        self.lr = lr
        self.dropout = dropout

    @classmethod
    def examples(cls, members: Sequence[str]) -> list[dict[str, Any]]:
        """Return options for the contract tests; see the base class."""
        return [{"hidden_dims": [8], "epochs": 3}, {"hidden_dims": [], "epochs": 2, "lr": 0.01}]

    def seconds(self, members: int, rows: int, classes: int) -> float:
        """Return about how long a fit takes, of which most are the steps of the optimizer."""
        forms = 2 if self.features == AUTO else 1
        return forms * rows * self.epochs * (4e-5 + 8e-8 * members * classes)

    def train_on(self, features: Floats, labels: Rows, classes: int, predictions: Predictions) -> Trained:
        """Tune the number of epochs, then fit all rows."""
        a_share(f"{self.key}.dropout", self.dropout)
        at_least(f"{self.key}.epochs", self.epochs, 0)
        mean, scale = features.mean(axis=0), features.std(axis=0)
        scale[scale < 1e-4] = 1.0
        standardized = torch.from_numpy((features - mean) / scale)
        logits = torch.from_numpy(predictions.logits.copy())
        task = _Task(standardized, self._pool(self._ordered(logits)), torch.from_numpy(labels), self.dropout)
        sizes = [standardized.shape[1], *self.hidden_dims, classes]
        parameters, notes = train_chosen(
            task,
            lambda generator: layers(sizes, generator),
            self.held_out(predictions),
            len(labels),
            epochs=self.epochs,
            lr=self.lr,
            seed=derive(self.seed, self.key),
        )
        tensors = {f"layer_{place}": each for place, each in enumerate(parameters)}
        return Trained({"mean": mean, "scale": scale, **tensors}, notes, notes["log_loss"])

    def _pool(self, logits: Tensor) -> Tensor:
        """Return the log of the members' mean probability of the classes that have rows, `[B, K]`."""
        pooled = logits.log_softmax(dim=2).logsumexp(dim=0) - math.log(len(logits))
        return pooled.index_select(1, self.learned("known_places"))

    def scores(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return the log of the members' mean probability plus the output of the network."""
        count = 2 * (len(self.hidden_dims) + 1)
        weights = [self.learned(f"layer_{place}").to(features.dtype) for place in range(count)]
        mean, scale = (self.learned(name).to(features.dtype) for name in ("mean", "scale"))
        return self._pool(logits) + network((features - mean) / scale, weights)


@dataclass(frozen=True, eq=False)
class _Task:
    """Training data: features `[N, F]`, log of the mean probability `[N, K]` and labels `[N]`."""

    features: Tensor
    pooled: Tensor
    labels: Tensor
    dropout: float

    def loss(self, weights: Sequence[Tensor], rows: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return the mean log-loss of some rows; without a generator there is no dropout."""
        share = 0.0 if generator is None else self.dropout
        correction = network(self.features[rows], weights, share, generator)
        return cross_entropy(self.pooled[rows] + correction, self.labels[rows])


def network(
    features: Tensor,
    weights: Sequence[Tensor],
    dropout: float = 0.0,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Return the output `[B, K]` of linear layers with ReLU between them for features `[B, F]`."""
    hidden = features
    for place in range(0, len(weights) - 2, 2):
        hidden = linear(hidden, weights[place], weights[place + 1]).relu()
        if dropout and generator is not None:
            hidden = dropped(hidden, dropout, generator)
    return linear(hidden, weights[-2], weights[-1])
