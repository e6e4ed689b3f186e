"""Attention over members: weights that depend on the sample, computed from the members' outputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from committee.base.limits import a_share, at_least
from committee.base.randomness import derive
from committee.combiners._stacker import Floats, Rows, Stacker, Trained
from committee.solvers.small_networks import EPOCH, train_chosen, uniform

if TYPE_CHECKING:
    from committee.predictions.table import Predictions


class Attention(Stacker):
    """A weighted mean of the members' probabilities with weights `softmax(q . k_m)` for each sample.

    This is scaled dot-product attention (Vaswani et al. 2017) over members. The key `k_m` of a member is a
    linear map of its output (log-probabilities, entropy and margin), shared by all members, plus a learned
    embedding of the member. The query `q` is a linear map of the mean output of the members. It starts
    at zero, so that training starts from soft voting. The number of epochs is tuned by the log-loss of a
    cross-validation inside the given rows (at most 5,000 of them), and can be 0.

    Parameters
    ----------
    hidden_dim : int
        Length of keys and queries.
    epochs : int
        Largest number of epochs.
    lr : float
        Initial learning rate of AdamW, which decreases to zero.
    member_dropout : float
        Share of the members that are left out of each sample in training (Arango et al. 2024), at least 0 and
        below 1. The weights then do not rely on a single member. The default is 0: the number of epochs is
        tuned already, and with up to 10 members and 1,500 rows leaving members out made new rows' log-loss
        worse (by 0.001 to 0.005 for a share of 0.2).
    folds : int
        Largest number of folds of the cross-validation.
    seed : int
        Seed of the folds, initial parameters, batches and dropout.

    Raises
    ------
    UsageError
        In `fit`: an option is out of range.

    See Also
    --------
    Weighted : The same weights for all samples.
    StackingMlp : A network that is not restricted to a weighted mean.

    References
    ----------
    S. P. Arango, M. Janowski, L. Purucker, A. Zela, F. Hutter, J. Grabocka (2024). Ensembling finetuned
    language models / Dynamic post-hoc neural ensemblers. arXiv:2410.04520.

    Examples
    --------
    >>> import torch
    >>> from committee.combiners import Attention
    >>> from committee.predictions import simulate
    >>> rows = simulate({"a": 2.0, "b": 2.0})
    >>> fitted = Attention(hidden_dim=4, epochs=5).fit(rows)
    >>> weights = fitted.attend(torch.from_numpy(rows.logits))
    >>> weights.shape, bool(weights.sum(dim=1).allclose(torch.ones(300)))
    (torch.Size([300, 2]), True)
    """

    ensemble_name = "attention_ensemble"
    calibrates = False
    allows_negative_weights = False

    def __init__(
        self,
        hidden_dim: int = 32,
        epochs: int = 50,
        lr: float = 3e-3,
        member_dropout: float = 0.0,
        folds: int = 3,
        seed: int = 0,
    ) -> None:
        super().__init__("log_probability", True, folds, seed)
        self.hidden_dim = hidden_dim
        self.epochs = epochs
        self.lr = lr
        self.member_dropout = member_dropout

    @classmethod
    def examples(cls, members: Sequence[str]) -> list[dict[str, Any]]:
        """Return options for the contract tests; see the base class."""
        return [{"epochs": 3, "hidden_dim": 4}]

    def seconds(self, members: int, rows: int, classes: int) -> float:
        """Return about how long a fit takes, of which most are the steps of the optimizer."""
        return self.epochs * (0.006 + min(rows, EPOCH) * members * (2.2e-6 + 5e-9 * classes))

    def train_on(self, features: Floats, labels: Rows, classes: int, predictions: Predictions) -> Trained:
        """Tune the number of epochs, then fit all rows."""
        at_least(f"{self.key}.epochs", self.epochs, 0)
        a_share(f"{self.key}.member_dropout", self.member_dropout)
        members = len(predictions.members)
        outputs = _by_member(torch.from_numpy(features), members)
        mean, scale = outputs.mean(dim=(0, 1)), outputs.std(dim=(0, 1)).clamp_min(1e-4)
        ordered = self._arranged(torch.from_numpy(predictions.logits.copy()))
        task = _Task(
            (outputs - mean) / scale, self._known(ordered), torch.from_numpy(labels), self.member_dropout
        )
        width = outputs.shape[2]

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
        tensors = dict(zip(("keys", "own", "queries", "query"), parameters, strict=True))
        mean_weight = _weights(task.outputs, parameters).mean(dim=0)
        names = [predictions.members[place] for place in self.learned("member_order").tolist()]
        notes["mean_weights"] = dict(zip(names, mean_weight.tolist(), strict=True))
        return Trained({"mean": mean, "scale": scale, **tensors}, notes, notes["log_loss"])

    def attend(self, logits: Tensor) -> Tensor:
        """Return the weights of the members for each sample, `[B, M]` in the order of `member_names`."""
        ordered = self._arranged(logits)
        weights = self._attention(self._features(ordered), len(logits))
        return weights.index_select(1, self.learned("member_order").argsort())

    def scores(self, features: Tensor, arranged: Tensor) -> Tensor:
        """Return the log of the weighted mean of the members' probabilities."""
        weights = self._attention(features, len(arranged))
        return (self._known(arranged) + weights.t()[:, :, None].log()).logsumexp(dim=0)

    def _attention(self, features: Tensor, members: int) -> Tensor:
        mean, scale = (self.learned(name).to(features.dtype) for name in ("mean", "scale"))
        names = ("keys", "own", "queries", "query")
        parameters = [self.learned(name).to(features.dtype) for name in names]
        return _weights((_by_member(features, members) - mean) / scale, parameters)

    def _known(self, logits: Tensor) -> Tensor:
        """Return log-probabilities of the classes that have rows, `[M, B, K]`."""
        return logits.log_softmax(dim=2).index_select(2, self.learned("known_places"))


@dataclass(frozen=True, eq=False)
class _Task:
    """Training data: outputs by member `[N, M, S]`, log-probabilities `[M, N, K]` and labels `[N]`."""

    outputs: Tensor
    log_probs: Tensor
    labels: Tensor
    member_dropout: float

    def loss(self, parameters: Sequence[Tensor], rows: Tensor, generator: torch.Generator | None) -> Tensor:
        """Return the mean log-loss of some rows; without a generator no member is left out."""
        weights = _weights(self.outputs[rows], parameters)
        if generator is not None and self.member_dropout:
            weights = _without_some(weights, self.member_dropout, generator)
        pooled = (self.log_probs[:, rows] + weights.t()[:, :, None].log()).logsumexp(dim=0)
        return cross_entropy(pooled, self.labels[rows])


def _weights(outputs: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """Return weights `[B, M]` for outputs by member `[B, M, S]`."""
    keys, own, queries, query = parameters
    queried = outputs.mean(dim=1) @ queries.t() + query
    match = ((outputs @ keys.t() + own) * queried[:, None]).sum(dim=2)
    return (match / len(query) ** 0.5).softmax(dim=1)


def _without_some(weights: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Return weights `[B, M]` in which a share of the members has almost none, with the sum 1.

    If all members of a sample are left out, their weights stay as they are.
    """
    kept = torch.rand(weights.shape, generator=generator) >= share
    left = weights * kept.to(weights.dtype).clamp_min(1e-6)
    return left / left.sum(dim=1, keepdim=True)


def _by_member(features: Tensor, members: int) -> Tensor:
    """Return meta-features with extras by member, `[B, M, C + 2]`."""
    classes = (features.shape[1] - 2 * members - 1) // members
    log_probs = features[:, : members * classes].reshape(-1, members, classes)
    entropy = features[:, members * classes : members * (classes + 1), None]
    margin = features[:, members * (classes + 1) : members * (classes + 2), None]
    return torch.cat([log_probs, entropy, margin], dim=2)
