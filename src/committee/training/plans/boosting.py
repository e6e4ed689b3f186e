"""Plan that trains a boosted series of networks."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from committee.base.limits import a_share, above_zero, at_least
from committee.base.randomness import derive
from committee.combiners.base import check_choice
from committee.errors import TrainingError, UsageError
from committee.images.dataset import Dataset
from committee.models.composites.boosted import Boosted, combine
from committee.models.member import Member
from committee.recipe.members import MemberSpec
from committee.store.layout import Store
from committee.training.fit.batches import Rows, inner_slice
from committee.training.fit.early_stopping import judging_rows
from committee.training.fit.job import Extra, Trained
from committee.training.fit.predict import logits_of
from committee.training.losses.base import loss_name
from committee.training.plans.base import Stored
from committee.training.plans.shared.independent import PlannedFit
from committee.training.plans.shared.of_backbone import OfBackbone

log = logging.getLogger(__name__)

SMALLEST = 1e-10
"""Smallest weighted error in the weight of a stage: without errors, the weight would be infinite."""


class Boosting(OfBackbone):
    """A boosted series: each network is trained to correct the errors of those before it.

    An validation slice of the training rows judges the series after each stage. Training ends when `patience`
    stages in a row have brought no improvement, and the series is cut after its best stage. A refit has the
    median number of stages of the folds.

    Parameters
    ----------
    spec : MemberSpec
        Early stopping is ignored.
    dataset : Dataset
    store : Store
    device : torch.device
    method : "samme" or "gradient", optional
        SAMME (Zhu et al. 2009), the default for classes: misclassified rows have larger weights in the next
        stage, and stages vote with weights that follow from their weighted errors. Gradient boosting
        (Friedman 2001), the only method for numbers: the outputs of a stage are added to those of the stages
        before it, multiplied by `shrinkage`, and the stage minimizes the loss of the sum. For numbers, the
        first stage is the initial model, and each further stage is fitted to the residuals.
    how : "weights" or "resample"
        Whether rows of larger weight count more in the loss of SAMME, or are drawn more often.
    stages : int
        Largest number of stages, at least 2.
    shrinkage : float, optional
        Factor of the weight of each stage. By default 1 for SAMME and 0.5 for gradient boosting.
    patience : int
        Number of stages without improvement after which training ends.
    fraction : float
        Share of the rows in the validation slice, between 0 and 1.

    Raises
    ------
    UsageError
        A parameter is out of its range, or the method is SAMME and the data has numbers.

    See Also
    --------
    Bagging : Networks that are trained independently of each other.
    committee.models.composites.boosted.Boosted : The member that it makes.

    Examples
    --------
    >>> from committee.training.plans._example import example_arguments
    >>> Boosting(**example_arguments(), method="gradient", stages=3).shrinkage
    0.5
    """

    single_network: ClassVar[bool] = False
    fixes = "the plan boosting judges stages instead of epochs"

    def __init__(
        self,
        spec: MemberSpec,
        dataset: Dataset,
        store: Store,
        device: torch.device,
        method: str | None = None,
        how: str = "weights",
        stages: int = 5,
        shrinkage: float | None = None,
        patience: int = 1,
        fraction: float = 0.1,
    ) -> None:
        super().__init__(spec, dataset, store, device)
        if dataset.target_type.dense:
            raise UsageError(
                f"{spec.name}: training.plan",
                expected="single, bagging, snapshot or averaging for images with masks",
                got="boosting, whose stages weight images",
                todo="Name one of these plans.",
            )
        if self.loss.has_variance:
            raise UsageError(
                f"{spec.name}: training.loss",
                expected="a loss without variances, since the numbers of the stages are added",
                got=f"'{loss_name(spec.training, dataset.task)}'",
                todo="Use the plan bagging, or leave the loss out.",
            )
        methods = ("samme", "gradient") if dataset.task.logits else ("gradient",)
        method = methods[0] if method is None else method
        check_choice(f"{spec.name}: method of boosting", method, methods)
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
        """Return the parameters of the series."""
        names = ("method", "how", "stages", "shrinkage", "patience", "fraction")
        return {name: getattr(self, name) for name in names}

    def unused(self) -> dict[str, str]:
        """Return the keys without an effect: `how` belongs to SAMME; see the base class."""
        how = "how" in self.given.plan.options and self.method == "gradient"
        return super().unused() | ({"plan.how": "gradient boosting has no weights of rows"} if how else {})

    def run(self, rows: Rows, fold: str, *, fingerprint: str, epochs: int | None = None) -> dict[str, Stored]:
        """Train the stages: `epochs` of them on all rows, if the folds have chosen; see the base class."""

        def fit(planned: PlannedFit) -> Trained:
            return self.fit(planned.rows, fold, fingerprint, number=planned.number, extra=planned.extra)

        return {self.name: self.series(rows, fold, fit, epochs)}

    def series(
        self,
        rows: Rows,
        fold: str,
        fit: Callable[[PlannedFit], Trained],
        epochs: int | None = None,
        weights: NDArray[np.float32] | None = None,
    ) -> Boosted:
        """Train the stages by a function that carries out a fit, and return them; see `run`.

        `weights` are those of all rows of the data set: SAMME starts from them.
        """
        kept, judged = (rows, rows[:0]) if epochs is not None else self._split(rows, fold)
        series = _Series(self, kept, judged, None if weights is None else weights[kept])
        for stage in range(self.stages if epochs is None else epochs):
            extra, drawn = series.next(derive(self.spec.seed, self.name, fold, "draw", stage))
            member = fit(PlannedFit(drawn, stage, extra)).member
            if not series.add(member) or series.is_finished():
                break
        return series.boosted(fold)

    def _split(self, rows: Rows, fold: str) -> tuple[Rows, Rows]:
        """Return the rows to train on, and those that judge the stages."""
        data = self.dataset
        if not self.spec.training.folds and len(judging := judging_rows(data)):
            return rows, judging
        groups = None if data.groups is None else data.groups[rows]
        seed = derive(self.spec.seed, self.name, fold, "inner")
        kept, judged = inner_slice(data.strata[rows], groups, self.fraction, seed)
        if not len(judged):
            raise TrainingError(
                f"{self.name}/{fold}",
                expected="enough rows to set some aside for judging stages",
                got="a single group, or one row per class",
                todo="Add samples, or use another plan.",
            )
        return rows[kept], rows[judged]


@dataclass
class _Series:
    """A series in training.

    Parameters
    ----------
    plan : Boosting
    rows : int64 `[N]`
        Training rows.
    judged : int64 `[n]`
        Rows of the validation slice, or none.
    given : float32 `[N]` or None
        Weights of the rows.
    members : list of Member
        Stages so far.
    stage_weights : list of float
    curve : list of float
        Score of the series on the validation slice after each stage; lower is better.
    """

    plan: Boosting
    rows: Rows
    judged: Rows
    given: NDArray[np.float32] | None = None
    members: list[Member] = field(default_factory=list)
    stage_weights: list[float] = field(default_factory=list)
    curve: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.votes = self.plan.method == "samme"
        labels, classes = self.plan.dataset.labels, len(self.plan.dataset.class_names)
        self.labels = labels[self.rows]
        given = np.ones(len(self.rows)) if self.given is None else self.given.astype(np.float64)
        self.row_weights = given / given.sum()
        self.total = np.zeros((len(self.rows), classes), np.float32)
        self.judged_logits = list[NDArray[np.float32]]()

    def next(self, seed: int) -> tuple[Extra, Rows]:
        """Return the additions to the fit of the next stage, and its training rows."""
        if not self.votes:
            return Extra(weights=self.given, offsets=self.total.copy()), self.rows
        if self.plan.how == "resample":
            generator = np.random.default_rng(seed)
            drawn = generator.choice(len(self.rows), len(self.rows), p=self.row_weights)
            return Extra(), self.rows[np.sort(drawn)]
        return Extra(weights=(self.row_weights * len(self.rows)).astype(np.float32)), self.rows

    def add(self, member: Member) -> bool:
        """Add a stage; return False if it is no better than chance, which ends the series without it."""
        logits = self._logits(member, self.rows)
        weight = self._update_row_weights(logits) if self.votes else self._shrinkage()
        if weight <= 0 and self.members:
            return False
        # A first stage is kept even if it is no better than chance.
        self.members.append(member)
        self.stage_weights.append(weight if weight > 0 else 1.0)
        if not self.votes:
            self.total += np.float32(weight) * logits
        if len(self.judged):
            self.judged_logits.append(self._logits(member, self.judged))
            self.curve.append(self._score())
        return weight > 0

    def _shrinkage(self) -> float:
        """Return the weight of the next stage of gradient boosting; the first one of numbers is whole."""
        is_initial = not self.members and not self.plan.dataset.task.logits
        return 1.0 if is_initial else self.plan.shrinkage

    def is_finished(self) -> bool:
        """Return whether the score has not improved for `patience` stages."""
        return bool(self.curve) and len(self.curve) - 1 - int(np.argmin(self.curve)) >= self.plan.patience

    def boosted(self, fold: str) -> Boosted:
        """Return the series up to its best stage."""
        count = int(np.argmin(self.curve)) + 1 if self.curve else len(self.members)
        who = f"{self.plan.name}/{fold}"
        if self.curve:
            log.info(
                "%s: the first %d of %d stages are kept, the best number on the validation slice",
                who,
                count,
                len(self.members),
            )
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

    def _update_row_weights(self, logits: NDArray[np.float32]) -> float:
        """Increase the weights of misclassified rows by SAMME; return the weight of the stage."""
        wrong = logits.argmax(1) != self.labels
        weight = stage_weight(float(self.row_weights[wrong].sum()), logits.shape[1]) * self.plan.shrinkage
        if weight > 0:
            self.row_weights = self.row_weights * np.exp(weight * wrong)
            self.row_weights /= self.row_weights.sum()
        return weight

    def _score(self) -> float:
        """Return the error rate (SAMME) or the loss of the series on the validation slice."""
        weights = torch.tensor(self.stage_weights, dtype=torch.float32)
        outputs = combine(torch.from_numpy(np.stack(self.judged_logits)), weights, self.votes)
        labels, task = self.plan.dataset.labels[self.judged], self.plan.dataset.task
        if self.votes:
            return 1 - task.evaluate(outputs.log_softmax(1).numpy(), labels, ["accuracy"])["accuracy"]
        return task.blend_loss(outputs.numpy(), labels)

    def _logits(self, member: Member, rows: Rows) -> NDArray[np.float32]:
        plan = self.plan
        return logits_of(member, plan.dataset, rows, batch_size=plan.batch_size, device=plan.device)


def stage_weight(error: float, classes: int) -> float:
    """Return the weight of a stage in SAMME, from its weighted error rate; 0 if no better than chance."""
    if error >= 1 - 1 / classes:
        return 0.0
    error = max(error, SMALLEST)
    return math.log((1 - error) / error) + math.log(classes - 1)
