"""Stacking by a small network, which learns a correction of the members' mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import linear

from committee.base.limits import a_share, at_least
from committee.base.randomness import derive
from committee.combiners._stacker import AUTO, Floats, Stacker, Trained
from committee.solvers.small_networks import EPOCH, dropped, layers, train_chosen
from committee.solvers.stacking_space import StackingSpace

if TYPE_CHECKING:
    from committee.predictions.table import Predictions


class StackingMlp(Stacker):
    """A multilayer perceptron on the members' outputs, added to the log of their mean probability.

    Of numbers, it is added to their mean. The last layer is initialized with zeros, so that training starts
    from soft voting and learns a correction. The number of epochs is tuned by the log-loss (of numbers, the
    mean squared error in units of the variance of the target) of a cross-validation inside the given rows (at
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

    serves: ClassVar[tuple[str, ...]] = ("classes", "numbers")
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
        return forms * min(rows, EPOCH) * self.epochs * (4e-5 + 8e-8 * members * classes)

    def train_on(
        self, features: Floats, targets: NDArray[Any], outputs: int, predictions: Predictions
    ) -> Trained:
        """Tune the number of epochs, then fit all rows."""
        a_share(f"{self.key}.dropout", self.dropout)
        at_least(f"{self.key}.epochs", self.epochs, 0)
        mean, scale = features.mean(axis=0), features.std(axis=0)
        scale[scale < 1e-4] = 1.0
        standardized, space = torch.from_numpy((features - mean) / scale), self.task.stacking
        arranged = self._arranged(torch.from_numpy(predictions.logits.copy()))
        start = space.mean(arranged, self.learned)
        task = _Task(standardized, start, torch.from_numpy(targets), self.dropout, space)
        sizes = [standardized.shape[1], *self.hidden_dims, outputs]
        parameters, notes = train_chosen(
            task,
            lambda generator: layers(sizes, generator),
            self.held_out(predictions),
            len(targets),
            epochs=self.epochs,
            lr=self.lr,
            seed=derive(self.seed, self.key),
            loss=space.loss,
        )
        tensors = {f"layer_{place}": each for place, each in enumerate(parameters)}
        return Trained({"mean": mean, "scale": scale, **tensors}, notes, notes[space.loss])

    def scores(self, features: Tensor, arranged: Tensor) -> Tensor:
        """Return the log of the members' mean probability, or their mean, plus the output of the network."""
        count = 2 * (len(self.hidden_dims) + 1)
        weights = [self.learned(f"layer_{place}").to(features.dtype) for place in range(count)]
        mean, scale = (self.learned(name).to(features.dtype) for name in ("mean", "scale"))
        correction = network((features - mean) / scale, weights)
        return self.task.stacking.mean(arranged, self.learned) + correction


@dataclass(frozen=True, eq=False)
class _Task:
    """Training data: features `[N, F]`, mean of the members `[N, K]` and targets `[N]` or `[N, K]`."""

    features: Tensor
    pooled: Tensor
    targets: Tensor
    dropout: float
    space: StackingSpace

    def loss(self, weights: Sequence[Tensor], rows: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return the mean loss of some rows; without a generator there is no dropout."""
        share = 0.0 if generator is None else self.dropout
        correction = network(self.features[rows], weights, share, generator)
        return self.space.mean_loss(self.pooled[rows] + correction, self.targets[rows])


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
