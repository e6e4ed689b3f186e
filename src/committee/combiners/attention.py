"""Attention: weights of the members that are drawn anew for each sample, from what the members say of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from committee.base.limits import at_least
from committee.base.randomness import derive
from committee.combiners._stacker import Floats, Rows, Stacker
from committee.solvers.small_networks import train_chosen, uniform

if TYPE_CHECKING:
    from committee.predictions.table import Predictions


class Attention(Stacker):
    """A weighted mean of the members' probabilities, with weights `softmax(q . k_m)` of each sample's own.

    The key of a member comes from what it says (log-probabilities, entropy, margin) by a map that all share,
    and from an embedding of its own; the query from the mean of what all say (scaled dot-product attention,
    Vaswani et al. 2017, over members). The query starts at zero: so it starts as soft voting. The number of
    epochs is chosen by the log-loss of a cross-validation inside the given rows (5,000 of them at most); it
    may be none.

    Parameters
    ----------
    hidden_dim : int
        Length of keys and queries.
    epochs : int
        Epochs at most.
    lr : float
        Highest learning rate of AdamW; it falls to zero.
    folds : int
        Folds of that cross-validation, at most.
    seed : int
        Draws folds, starts and batches.
    """

    ensemble_name = "attention_ensemble"
    calibrates = False
    allows_negative_weights = False

    def __init__(
        self, hidden_dim: int = 32, epochs: int = 50, lr: float = 3e-3, folds: int = 3, seed: int = 0
    ) -> None:
        super().__init__("log_probability", True, folds, seed)
        self.hidden_dim = hidden_dim
        self.epochs = epochs
        self.lr = lr

    def train_on(
        self, features: Floats, labels: Rows, classes: int, predictions: Predictions
    ) -> dict[str, Any]:
        """Choose the number of epochs, then fit all rows."""
        at_least(f"{self.key}.epochs", self.epochs, 0)
        members = len(predictions.members)
        said = _by_member(torch.from_numpy(features), members)
        mean, scale = said.mean(dim=(0, 1)), said.std(dim=(0, 1)).clamp_min(1e-4)
        self.set_buffers(mean=mean, scale=scale)
        arranged = self._arranged(torch.from_numpy(predictions.logits.copy()))
        task = _Task((said - mean) / scale, self._known(arranged), torch.from_numpy(labels))
        width = said.shape[2]

        def start(generator: torch.Generator) -> list[Tensor]:
            keys = uniform((self.hidden_dim, width), width**-0.5, generator)
            own = uniform((members, self.hidden_dim), 0.5, generator)
            return [keys, own, torch.zeros(self.hidden_dim, width), torch.zeros(self.hidden_dim)]

        parameters, notes = train_chosen(
            task,
            start,
            self.held_out(predictions),
            len(labels),
            epochs=self.epochs,
            lr=self.lr,
            seed=derive(self.seed, self.key),
        )
        self.set_buffers(**dict(zip(("keys", "own", "queries", "query"), parameters, strict=True)))
        mean_weight = _weights(task.said, parameters).mean(dim=0)
        names = [predictions.members[place] for place in self.learned("member_order").tolist()]
        return {**notes, "mean_weights": dict(zip(names, mean_weight.tolist(), strict=True))}

    def attend(self, logits: Tensor) -> Tensor:
        """Return each sample's weights of the members, `[B, M]` in the order of `member_names`, sum 1."""
        arranged = self._arranged(logits)
        weights = self._attention(self._shown(arranged), len(logits))
        return weights.index_select(1, self.learned("member_order").argsort())

    def scores(self, features: Tensor, logits: Tensor) -> Tensor:
        """Return the log of the weighted mean of the members' probabilities."""
        weights = self._attention(features, len(logits))
        return (self._known(logits) + weights.t()[:, :, None].log()).logsumexp(dim=0)

    def _attention(self, features: Tensor, members: int) -> Tensor:
        mean, scale = (self.learned(name).to(features.dtype) for name in ("mean", "scale"))
        names = ("keys", "own", "queries", "query")
        parameters = [self.learned(name).to(features.dtype) for name in names]
        return _weights((_by_member(features, members) - mean) / scale, parameters)

    def _known(self, logits: Tensor) -> Tensor:
        """Return log-probabilities of the classes that had rows, `[M, B, K]`."""
        return logits.log_softmax(dim=2).index_select(2, self.learned("known_places"))


@dataclass(frozen=True, eq=False)
class _Task:
    """What weights are learned from: what members say `[N, M, S]`, log-probabilities `[M, N, K]`, labels."""

    said: Tensor
    log_probs: Tensor
    labels: Tensor

    def loss(self, parameters: Sequence[Tensor], rows: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return the log-loss of some rows; nothing is dropped."""
        weights = _weights(self.said[rows], parameters)
        pooled = (self.log_probs[:, rows] + weights.t()[:, :, None].log()).logsumexp(dim=0)
        return cross_entropy(pooled, self.labels[rows])


def _weights(said: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """Return weights `[B, M]` for what members say, `[B, M, S]`."""
    keys, own, queries, query = parameters
    asked = said.mean(dim=1) @ queries.t() + query
    match = ((said @ keys.t() + own) * asked[:, None]).sum(dim=2)
    return (match / len(query) ** 0.5).softmax(dim=1)


def _by_member(features: Tensor, members: int) -> Tensor:
    """Return meta-features with extras as what each member says, `[B, M, C + 2]`."""
    classes = (features.shape[1] - 2 * members - 1) // members
    answers = features[:, : members * classes].reshape(-1, members, classes)
    entropy = features[:, members * classes : members * (classes + 1), None]
    margin = features[:, members * (classes + 1) : members * (classes + 2), None]
    return torch.cat([answers, entropy, margin], dim=2)
