"""Networks that learn one after the other what those before them got wrong."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from committee.base.limits import a_share, above_zero, at_least
from committee.base.randomness import derive
from committee.combiners.base import check_choice
from committee.errors import TrainingError
from committee.images.dataset import Dataset
from committee.metrics.classification import evaluate
from committee.models.composites.boosted import Boosted, combine
from committee.models.member import Member
from committee.recipe.members import MemberSpec
from committee.store.layout import Store
from committee.training.fit.batches import Rows, inner_slice
from committee.training.fit.job import Extra
from committee.training.fit.predict import logits_of
from committee.training.plans._of_backbone import OfBackbone
from committee.training.plans.base import Stored

log = logging.getLogger(__name__)

SMALLEST = 1e-10
"""Least weighted error that a stage's weight is computed from: one without error would weigh without end."""


class Boosting(OfBackbone):
    """A boosted series of a backbone.

    An inner slice of the training rows judges after each stage; the series ends with the stage after which
    it was best, once `patience` further ones did not help. A refit takes over the folds' median of stages.

    Parameters
    ----------
    spec, dataset, store, device
        See the base class. Within a stage nothing stops early.
    method : "samme" or "gradient"
        SAMME (Zhu et al. 2009): rows that were misclassified weigh more in the next stage, and stages vote by
        their weighted errors. Gradient boosting (Friedman 2001): each stage learns the logits that those
        before it lack, by the log-loss itself, and a `shrinkage` share of them is added.
    how : "weights" or "resample"
        How rows weigh more in SAMME: in the loss, or in being drawn more often.
    stages : int
        At most.
    shrinkage : float
    patience : int
    fraction : float
        Share of the rows in the inner slice.
    """

    def __init__(
        self,
        spec: MemberSpec,
        dataset: Dataset,
        store: Store,
        device: torch.device,
        method: str = "samme",
        how: str = "weights",
        stages: int = 5,
        shrinkage: float | None = None,
        patience: int = 1,
        fraction: float = 0.1,
    ) -> None:
        super().__init__(spec, dataset, store, device)
        check_choice(f"{spec.name}: method of boosting", method, ("samme", "gradient"))
        check_choice(f"{spec.name}: how of boosting", how, ("weights", "resample"))
        self.method, self.how = method, how
        self.stages = at_least(f"{spec.name}: stages", stages, 2)
        default = 1.0 if method == "samme" else 0.5
        self.shrinkage = above_zero(f"{spec.name}: shrinkage", default if shrinkage is None else shrinkage)
        self.patience = at_least(f"{spec.name}: patience", patience, 1)
        who = f"{spec.name}: fraction"
        self.fraction = above_zero(who, a_share(who, fraction))
        self.spec = self.fixed()
        self.epochs, self.networks = None, stages

    def options(self) -> dict[str, Any]:
        """Return what decides the series."""
        names = ("method", "how", "stages", "shrinkage", "patience", "fraction")
        return {name: getattr(self, name) for name in names}

    def run(self, rows: Rows, fold: str, *, fingerprint: str, epochs: int | None = None) -> dict[str, Stored]:
        """Train the stages; `epochs` of them, on all rows, where the folds have chosen."""
        learned, judged = (rows, rows[:0]) if epochs is not None else self._divide(rows, fold)
        series = _Series(self, learned, judged)
        for stage in range(self.stages if epochs is None else epochs):
            extra, drawn = series.next(derive(self.spec.seed, self.name, fold, "draw", stage))
            member = self.fit(drawn, fold, fingerprint, number=stage, extra=extra).member
            if not series.take(member) or series.is_over():
                break
        return {self.name: series.boosted(fold)}

    def _divide(self, rows: Rows, fold: str) -> tuple[Rows, Rows]:
        data = self.dataset
        groups = None if data.groups is None else data.groups[rows]
        seed = derive(self.spec.seed, self.name, fold, "inner")
        kept, judged = inner_slice(data.labels[rows], groups, self.fraction, seed)
        if not len(judged):
            raise TrainingError(
                f"{self.name}/{fold}",
                expected="spare rows to judge stages by",
                got="one group, or a row a class",
                todo="Add samples, or take another plan.",
            )
        return rows[kept], rows[judged]


@dataclass
class _Series:
    """A series in progress."""

    plan: Boosting
    rows: Rows
    judged: Rows
    members: list[Member] = field(default_factory=list)
    stage_weights: list[float] = field(default_factory=list)
    curve: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.votes = self.plan.method == "samme"
        labels, classes = self.plan.dataset.labels, len(self.plan.dataset.class_names)
        self.labels = labels[self.rows]
        self.row_weights = np.full(len(self.rows), 1 / len(self.rows))
        self.total = np.zeros((len(self.rows), classes), np.float32)
        self.answers = list[NDArray[np.float32]]()

    def next(self, seed: int) -> tuple[Extra, Rows]:
        """Return what the next stage is given, and the rows that it learns from."""
        if not self.votes:
            return Extra(offsets=self.total.copy()), self.rows
        if self.plan.how == "resample":
            generator = np.random.default_rng(seed)
            drawn = generator.choice(len(self.rows), len(self.rows), p=self.row_weights)
            return Extra(), self.rows[np.sort(drawn)]
        return Extra(weights=(self.row_weights * len(self.rows)).astype(np.float32)), self.rows

    def take(self, member: Member) -> bool:
        """Take in a stage; return False where it is left out, since it is no better than chance."""
        logits = self._logits(member, self.rows)
        weight = self._weigh_votes(logits) if self.votes else self.plan.shrinkage
        if weight <= 0 and self.members:
            return False
        # A first stage that is no better than chance is all there is.
        self.members.append(member)
        self.stage_weights.append(weight if weight > 0 else 1.0)
        if not self.votes:
            self.total += np.float32(weight) * logits
        if len(self.judged):
            self.answers.append(self._logits(member, self.judged))
            self.curve.append(self._score())
        return weight > 0

    def is_over(self) -> bool:
        """Return whether the inner slice got no better for long enough."""
        return bool(self.curve) and len(self.curve) - 1 - int(np.argmin(self.curve)) >= self.plan.patience

    def boosted(self, fold: str) -> Boosted:
        """Return the series up to the stage after which it was best."""
        count = int(np.argmin(self.curve)) + 1 if self.curve else len(self.members)
        who = f"{self.plan.name}/{fold}"
        if self.curve:
            log.info("%s: %d of %d stages, the inner slice's best", who, count, len(self.members))
        made = Boosted(
            self.members[:count],
            self.plan.dataset.class_names,
            self.plan.name,
            self.stage_weights[:count],
            self.votes,
        )
        made.provenance = {
            "epochs": count,
            "stage_weights": self.stage_weights[:count],
            "inner": self.curve,
            "trained": len(self.members),
        }
        return made.eval()

    def _weigh_votes(self, logits: NDArray[np.float32]) -> float:
        """Return the weight of a stage in SAMME, and give the rows that it gets wrong more of theirs."""
        wrong = logits.argmax(1) != self.labels
        weight = stage_weight(float(self.row_weights[wrong].sum()), logits.shape[1]) * self.plan.shrinkage
        if weight > 0:
            self.row_weights = self.row_weights * np.exp(weight * wrong)
            self.row_weights /= self.row_weights.sum()
        return weight

    def _score(self) -> float:
        """Return the error rate of the series on the inner slice with votes, else its log-loss."""
        weights = torch.tensor(self.stage_weights, dtype=torch.float32)
        log_probs = combine(torch.from_numpy(np.stack(self.answers)), weights, self.votes).log_softmax(1)
        labels = self.plan.dataset.labels[self.judged]
        if self.votes:
            return 1 - evaluate(log_probs.numpy(), labels, ["accuracy"])["accuracy"]
        return evaluate(log_probs.numpy(), labels, ["log_loss"])["log_loss"]

    def _logits(self, member: Member, rows: Rows) -> NDArray[np.float32]:
        plan = self.plan
        return logits_of(member, plan.dataset, rows, batch_size=plan.batch_size, device=plan.device)


def stage_weight(error: float, classes: int) -> float:
    """Return SAMME's weight of a stage with a weighted error rate; 0 where it is no better than chance."""
    if error >= 1 - 1 / classes:
        return 0.0
    error = max(error, SMALLEST)
    return math.log((1 - error) / error) + math.log(classes - 1)
