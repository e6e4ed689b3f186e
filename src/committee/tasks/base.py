"""The base class of tasks: everything that depends on whether classes or numbers are predicted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from committee.base.objectives import AUTO, is_custom
from committee.base.registry import Family
from committee.errors import UsageError, nearest
from committee.metrics.curves import Reliability
from committee.metrics.custom import CustomMetric
from committee.metrics.image_scores import ImageScores
from committee.metrics.metric import Metric, intervals_of, named
from committee.metrics.risk import RiskCoverage
from committee.metrics.sampling import Interval
from committee.predictions.table import Predictions
from committee.predictions.target_types import CLASSES, TargetType
from committee.solvers.experts import Experts
from committee.solvers.search import Mixtures, Search
from committee.solvers.simplex import Loss
from committee.solvers.stacking_space import StackingSpace


class Task(ABC):
    """What is predicted: how outputs are pooled, scored and fitted.

    Code outside of this folder asks the task, and never which task it is.

    Attributes
    ----------
    key : str
        Name of the task in recipes and files, which is the name of its file.
    target_type : TargetType
        What labels are.
    metrics : mapping of str to Metric
        The metrics of the task.
    further : mapping of str to Metric
        Metrics of rows with more than outputs, such as predicted variances.
    custom : type of CustomMetric
        How a metric that is a function of the user is called.
    objectives : tuple of str
        Metrics that weights and selections of members can optimize; the first is the default.
    proof : tuple of str
        The metric in which a rule must be proven better to replace a simpler one, and those in which it must
        not be proven worse.
    guarded : str
        The metric that a file of lower precision must not lose much of.
    brief : tuple of str
        The metrics of short tables.
    spaces : tuple of str
        The spaces in which weights average outputs.
    stacking : StackingSpace
        What learners on the outputs of members read and predict.
    calibrations : tuple of str
        The ways to calibrate an ensemble; the first is the default.
    conformal : tuple of str
        The kinds of conformal prediction: sets of classes, or intervals of numbers; none of maps.
    formats : tuple of str
        The formats of submission files; the first is the default.
    methods, learner, fused : tuple of str, str, tuple of str
        The default rules of ensembles, the default learner of stacking, and the ensembles that a meta-learner
        combines by default.
    loss : str
        The default loss of training.
    taught_by : str
        The default loss between the outputs of a student and its teacher.
    judged : tuple of str
        Metrics of an epoch of training; early stopping uses the first by default.
    blended_by : str
        Name of `blend_loss` in reports.
    variances : bool
        Whether networks can predict the variance of each output.
    logits : bool
        Whether outputs are logits, so that the logarithm is used of networks that return probabilities.

    See Also
    --------
    task_of : The task of predictions.

    Examples
    --------
    >>> from committee.predictions import Predictions
    >>> from committee.tasks import task_of
    >>> rows = Predictions.from_values([[11, 7], [11, 8], [10, 9]], members=["a", "b", "c"])
    >>> task_of(rows).key, task_of(rows).objectives[0]
    ('regression', 'rmse')
    """

    key: ClassVar[str]
    target_type: ClassVar[TargetType]
    metrics: ClassVar[Mapping[str, Metric]]
    further: ClassVar[Mapping[str, Metric]] = {}
    custom: ClassVar[type[CustomMetric]]
    objectives: ClassVar[tuple[str, ...]]
    proof: ClassVar[tuple[str, ...]]
    guarded: ClassVar[str]
    brief: ClassVar[tuple[str, ...]]
    spaces: ClassVar[tuple[str, ...]]
    calibrations: ClassVar[tuple[str, ...]]
    stacking: ClassVar[StackingSpace]
    conformal: ClassVar[tuple[str, ...]]
    formats: ClassVar[tuple[str, ...]]
    methods: ClassVar[tuple[str, ...]]
    learner: ClassVar[str]
    fused: ClassVar[tuple[str, ...]]
    loss: ClassVar[str]
    taught_by: ClassVar[str]
    judged: ClassVar[tuple[str, ...]]
    blended_by: ClassVar[str]
    logits: ClassVar[bool]
    variances: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.key = cls.__module__.rpartition(".")[2]

    @abstractmethod
    def read(self, outputs: ArrayLike, labels: ArrayLike) -> Any:
        """Return the rows that metrics of outputs `[N, C]` and labels are functions of."""

    @abstractmethod
    def link(self, outputs: Tensor) -> Tensor:
        """Return what outputs `[B, C, ...]` of a network or an ensemble mean: probabilities, or numbers."""

    @abstractmethod
    def linked(self, combined: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what combined outputs mean, as an array: probabilities of log-probabilities, or numbers."""

    @abstractmethod
    def normalized(self, outputs: Tensor) -> Tensor:
        """Return outputs `[..., C]` without what they leave undefined: the constant of a row of logits."""

    def finite(self, outputs: Tensor, dim: int = 1) -> Tensor:
        """Return outputs `[B, C, ...]` of a network without infinities that have a meaning.

        The names of the outputs are along `dim`.
        """
        return outputs

    @abstractmethod
    def predictions(
        self, outputs: ArrayLike, members: Sequence[str], names: Sequence[str], **rest: Any
    ) -> Predictions:
        """Return outputs `[M, N, C]` as predictions; `rest` are arguments of `Predictions.from_logits`."""

    @abstractmethod
    def pool(self, outputs: Tensor, weight: Tensor | None = None, space: str = "probability") -> Tensor:
        """Return the weighted mean `[B, C, ...]` of outputs `[M, B, C, ...]`; equal weights by default."""

    @abstractmethod
    def mix(self, outputs: Tensor, weights: Tensor) -> Tensor:
        """Return the mean `[B, C]` of outputs `[B, E, C]`, whose weights `[B, E]` differ between rows.

        Outputs with a weight of 0 do not change it, even if they are NaN or infinite.
        """

    @abstractmethod
    def experts(self, outputs: NDArray[np.float32], labels: NDArray[Any]) -> Experts:
        """Return the losses of outputs `[E, N, C]` of experts, and of their mixtures."""

    @abstractmethod
    def labeled(self, labels: Tensor) -> Tensor:
        """Return which of the labels `[B]` or `[B, T]` are known, bool `[B]`; see `TargetType.missing`."""

    @abstractmethod
    def decided(self, outputs: Tensor) -> Tensor:
        """Return outputs `[B, C]` as labels: the most probable class, or the numbers."""

    @abstractmethod
    def alike(
        self, outputs: NDArray[np.float32], others: NDArray[np.float32], labels: NDArray[Any]
    ) -> NDArray[np.bool_]:
        """Return for which rows, bool `[N]`, two models `[N, C]` predict the same class, or similar numbers.

        Numbers are similar if they differ by at most the root mean squared error of `others`.
        """

    @abstractmethod
    def accuracy_of(self, means: NDArray[np.floating[Any]], labels: NDArray[Any]) -> float:
        """Return a positive number for means of outputs after `link`, `[N, C]`; larger is better.

        A selection can leave out what reaches less than a share of the largest one.
        """

    @abstractmethod
    def mean(self, outputs: Tensor) -> Tensor:
        """Return the mean `[N, C]` of the outputs `[M, N, C]` of networks of one member."""

    @abstractmethod
    def averaged(self, outputs: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
        """Return of outputs `[N, C]` of a network what means are taken of: probabilities, or numbers."""

    @abstractmethod
    def from_average(self, means: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return the outputs `[N, C]` that belong to means of `averaged`."""

    @abstractmethod
    def blend_loss(self, outputs: NDArray[np.float32], labels: NDArray[Any]) -> float:
        """Return the loss of outputs `[N, C]` by which averages of weights are compared, without a unit."""

    @abstractmethod
    def row_losses(self, outputs: NDArray[np.float32], labels: NDArray[Any]) -> NDArray[np.float64]:
        """Return a loss of each row `[N]` without a unit: of outputs `[N, C]`, to compare networks."""

    @abstractmethod
    def search(self, predictions: Predictions, metric: str, who: str) -> Search:
        """Return the search among subsets of members by a metric of their mean; `who` names the option."""

    @abstractmethod
    def mixtures(self, predictions: Predictions, metric: str, who: str, space: str) -> Mixtures:
        """Return the mixtures of members, for a search among weights."""

    @abstractmethod
    def pool_loss(
        self, predictions: Predictions, order: NDArray[np.int64], metric: str, space: str
    ) -> Loss | None:
        """Return a metric of the weighted mean of members in this order, or None if it is not convex."""

    def metric(self, name: str) -> Metric:
        """Return a metric of the task; a function `python:module.function` is imported.

        Raises
        ------
        UnknownNameError
            The task has no metric of this name; the message lists those that it has.
        UsageError
            The function cannot be imported.
        """
        if is_custom(name):
            return self.custom.load(name, "metric").as_metric(self.read)
        return self.further[name] if name in self.further else named(name, self.metrics)

    def metrics_of(self, rows: Any) -> Iterable[str]:
        """Return the names of the metrics of rows, which `read` returned."""
        return self.metrics

    def objective(self, name: str, who: str) -> str:
        """Return the name of the metric that a fit optimizes; `auto` is the default of the task.

        Raises
        ------
        UsageError
            The metric is not one of the objectives, nor `python:module.function`.
        """
        if name == AUTO:
            return self.objectives[0]
        if not isinstance(name, str) or not (name in self.objectives or is_custom(name)):
            raise UsageError(
                who,
                expected=f"one of {', '.join(self.objectives)}, or python:module.function",
                got=f"'{name}'",
                todo=nearest(str(name), self.objectives),
            )
        return name

    @abstractmethod
    def details(
        self, outputs: NDArray[np.float32], labels: NDArray[Any], names: Sequence[str], **rest: Any
    ) -> dict[str, Any]:
        """Return the parts of a report that depend on what is predicted; `rest` are those of `intervals`."""

    @abstractmethod
    def described(self, outputs: NDArray[np.floating[Any]], names: Sequence[str]) -> list[str]:
        """Return what outputs `[N, C]` predict in words: the class and its probability, or the numbers."""

    @abstractmethod
    def labels_in_words(self, labels: NDArray[Any], names: Sequence[str]) -> list[str]:
        """Return labels `[N]` or `[N, T]` in words."""

    def reliability(self, outputs: NDArray[np.float32], labels: NDArray[Any]) -> Reliability | None:
        """Return the reliability diagram of combined outputs, or None if there are no probabilities."""
        return None

    def risk(self, outputs: NDArray[np.float32], labels: NDArray[Any]) -> RiskCoverage | None:
        """Return the risk-coverage curve of combined outputs, or None if there are no probabilities."""
        return None

    def values(self, outputs: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]] | None:
        """Return the predicted numbers `[N, T]` of outputs, or None if classes are predicted."""
        return None

    def images(self, names: Sequence[str]) -> ImageScores | None:
        """Return what collects the scores of whole images, for maps of these classes or targets, or None."""
        return None

    def summary(self, outputs: NDArray[np.float32], labels: NDArray[Any]) -> dict[str, float]:
        """Return the metrics of short tables."""
        return self.evaluate(outputs, labels, self.brief)

    def evaluate(
        self, outputs: ArrayLike, labels: ArrayLike, names: Iterable[str] | None = None
    ) -> dict[str, float]:
        """Return metrics of outputs `[N, C]` for labels; all of them by default."""
        rows = self.read(outputs, labels)
        return {
            name: float(self.metric(name).function(rows.whole))
            for name in (self.metrics_of(rows) if names is None else names)
        }

    def intervals(
        self, outputs: ArrayLike, labels: ArrayLike, *, names: Iterable[str] | None = None, **rest: Any
    ) -> dict[str, Interval]:
        """Return metrics with confidence intervals; `rest` are those of `committee.metrics.intervals`."""
        rows = self.read(outputs, labels)
        metrics = map(self.metric, self.metrics_of(rows) if names is None else names)
        return intervals_of(rows, metrics, **rest)


TASKS: Family[Task] = Family("committee.tasks", "task")


def task_of(predictions: Predictions) -> Task:
    """Return the task of predictions, which follows from their labels and axes."""
    return task_for(predictions.target_type)


def task_for(target_type: TargetType) -> Task:
    """Return the task of labels of a type."""
    return next(task for task in map(TASKS.make, TASKS.names()) if task.target_type is target_type)


def task_of_model(module: object) -> Task:
    """Return the task of a model, which is its attribute `task`; models without it predict classes."""
    found: Task | None = getattr(module, "task", None)
    return task_for(CLASSES) if found is None else found
