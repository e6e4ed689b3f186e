"""Ensembles of networks as estimators of scikit-learn."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from torch import Tensor, nn

from committee.base.limits import a_share, above_zero
from committee.combiners.base import build as build_combiner
from committee.errors import DataError, UsageError
from committee.in_memory.default_network import perceptron
from committee.in_memory.members import fit_members
from committee.in_memory.target_guess import are_shares, plain
from committee.models.ensemble import Ensemble
from committee.predictions.table import Predictions
from committee.predictions.target_types import NUMBERS
from committee.training.fit.batches import inner_slice

log = logging.getLogger(__name__)
BATCH = 256
"""Rows in a batch of a prediction."""


class OfNetworks(BaseEstimator):
    """What classifiers and regressors have in common; see `EnsembleClassifier`."""

    ensemble_: Ensemble
    predictions_: Predictions | None

    def __init__(
        self,
        build: Callable[..., nn.Module] | None = None,
        n: int = 5,
        plan: str | Mapping[str, Any] = "single",
        combiner: Any = "soft_voting",
        epochs: int = 20,
        lr: float | None = None,
        batch_size: int = 32,
        validation_fraction: float = 0.2,
        early_stop: Mapping[str, Any] | None = None,
        random_state: Any = 0,
        device: str = "auto",
        together: Literal["auto", "stacked", "none"] = "auto",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.build, self.n, self.plan, self.combiner = build, n, plan, combiner
        self.epochs, self.lr, self.batch_size = epochs, lr, batch_size
        self.validation_fraction, self.early_stop = validation_fraction, early_stop
        self.random_state, self.device, self.together = random_state, device, together
        self.settings = settings

    def _fit(
        self, inputs: NDArray[Any], labels: NDArray[Any], strata: NDArray[Any], weights: Any, **names: Any
    ) -> Self:
        """Train the members on inputs and encoded labels, and fit the combiner."""
        if weights is not None:
            weights = _check_sample_weight(weights, inputs, dtype=np.float64, ensure_non_negative=True)
            if weights.any():  # Otherwise fit_members says so.
                inputs, labels, strata, weights = (
                    each[weights > 0] for each in (inputs, labels, strata, weights)
                )
        rule, seed = build_combiner(self.combiner).clone(), self._seed()
        kept, judging, fitting = self._split(strata, rule.learns, seed)
        options = {**self._settings(), **names, "weights": None if weights is None else weights[kept]}
        if self.early_stop is not None:
            options |= {"val": (inputs[judging], labels[judging]), "early_stop": self.early_stop}
        members = fit_members(
            self.build or perceptron,
            (inputs[kept], labels[kept]),
            self.n,
            self.plan,
            epochs=self.epochs,
            lr=self.lr,
            batch_size=self.batch_size,
            seed=seed,
            device=self.device,
            together=self.together,
            **options,
        )
        self.ensemble_, self.predictions_ = Ensemble(members), None
        if rule.learns:
            positions = "positions" if "class_names" in names else None
            self.predictions_ = self.ensemble_.predictions(inputs[fitting], labels[fitting], positions)
            rule.fit(self.predictions_)
        self.ensemble_ = Ensemble(members, rule).eval()
        return self

    def _split(
        self, strata: NDArray[Any], learns: bool, seed: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return the rows that members are trained on, that judge epochs, and that the combiner is fitted on.

        No row serves two of these purposes.
        """
        rows = np.arange(len(strata))
        stops = self.early_stop is not None
        if not (stops or learns):
            return rows, rows[:0], rows[:0]
        share = above_zero("validation_fraction", a_share("validation_fraction", self.validation_fraction))
        kept, held = inner_slice(strata, None, share, seed)
        if len(held) < stops + learns:
            raise DataError(
                type(self).__name__,
                expected="rows to set aside for early_stop and for a combiner that learns",
                got=f"{len(held)} of {len(rows)}",
                todo="Give more rows of each class, or a larger validation_fraction.",
            )
        if not (stops and learns):
            return kept, held, held
        first, second = inner_slice(strata[held], None, 0.5, seed)
        return kept, held[first], held[second]

    def _settings(self) -> dict[str, Any]:
        """Return further settings; raise UsageError if one of them is a parameter of the estimator."""
        settings = dict(self.settings or {})
        twice = sorted(settings.keys() & {*self.get_params(deep=False), "seed", "val", "weights"})
        if twice:
            own = {"seed": "random_state", "val": "early_stop", "weights": "sample_weight"}.get(
                twice[0], twice[0]
            )
            raise UsageError(
                "settings",
                expected="no parameter of the estimator",
                got=f"'{twice[0]}'",
                todo=f"Give {own} to {type(self).__name__} itself.",
            )
        return settings

    def _seed(self) -> int:
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _training_data(self, X: Any, y: Any, **options: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return checked inputs, uint8 images or float32, and labels."""
        inputs, labels = validate_data(self, _array(X), _array(y), allow_nd=True, **options)
        return _converted(inputs), labels

    def _outputs(self, X: Any) -> NDArray[np.float32]:
        check_is_fitted(self)
        inputs = validate_data(self, _array(X), reset=False, allow_nd=True)
        found: NDArray[np.float32] = self.ensemble_.predict(_converted(inputs), BATCH)
        return found


class EnsembleClassifier(ClassifierMixin, OfNetworks):
    """An ensemble of networks as a classifier of scikit-learn.

    Parameters
    ----------
    build : callable, optional
        Returns a new network; see `committee.fit_members`. By default a multilayer perceptron with two hidden
        layers of 64 units.
    n, plan : int, str or mapping
        Number of members, and how they are trained; see `committee.fit_members`.
    combiner : str, mapping or Combiner
        How members are combined: `soft_voting`, `weighted`, `stacking_lr`, ... A combiner that learns is
        fitted on rows that are set aside.
    epochs, lr, batch_size : int, float, int
        Passes over the rows, learning rate, and rows of a batch.
    validation_fraction : float
        Share of the rows that are set aside, if `early_stop` is given or the combiner learns. If both, each
        has half of them.
    early_stop : mapping, optional
        `{"patience": 5}`: training stops after so many epochs without improvement on the rows that are set
        aside, and the weights of the best epoch are kept.
    random_state : int, RandomState or None
        Seed of all randomness.
    device, together, settings
        As for `committee.fit_members`; `settings` are its further settings, such as `{"optimizer": "sgd"}`.

    Attributes
    ----------
    classes_ : array [C]
        The classes, sorted.
    ensemble_ : Ensemble
        The trained ensemble, which can be saved, calibrated and exported.
    predictions_ : Predictions or None
        Predictions of the members for the rows that the combiner was fitted on.
    n_features_in_ : int
        Number of features, or length of the first axis of one input.

    See Also
    --------
    EnsembleRegressor : The same for numbers.
    committee.fit_members : The members alone.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from committee import EnsembleClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> found = EnsembleClassifier(n=3, epochs=15, lr=0.01).fit(X, y)
    >>> found.predict_proba(X).shape, found.score(X, y) > 0.9
    ((150, 3), True)
    """

    classes_: NDArray[Any]

    def fit(
        self, X: ArrayLike | Tensor, y: ArrayLike | Tensor, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Train the members on inputs `[N, D]`, or `[N, ...]`, and classes `[N]`, and fit the combiner.

        `sample_weight` `[N]` weights the rows in the loss of the members; rows of weight 0 are left out.
        Rows that are set aside count once each.
        """
        shape: tuple[int, ...] = getattr(y, "shape", ())
        if len(shape) == 2 and shape[1] > 1:
            raise DataError(
                "EnsembleClassifier: y",
                expected="one class for each row",
                got=f"an array {list(shape)}",
                todo="Give the class of each row: y.argmax(1); of numbers, use EnsembleRegressor.",
            )
        inputs, labels = self._training_data(X, y)
        plain("EnsembleClassifier", labels)
        check_classification_targets(labels)
        self.classes_, encoded = np.unique(labels, return_inverse=True)
        names = [str(each) for each in self.classes_]
        return self._fit(inputs, encoded, encoded, sample_weight, class_names=names)

    def predict_proba(self, X: ArrayLike | Tensor) -> NDArray[np.float32]:
        """Return the probability of each of `classes_`, float32 `[N, C]`."""
        return self._outputs(X)

    def predict(self, X: ArrayLike | Tensor) -> NDArray[Any]:
        """Return the most probable class of each row, `[N]`."""
        found: NDArray[Any] = self._outputs(X).argmax(1)
        return self.classes_[found]


class EnsembleRegressor(RegressorMixin, OfNetworks):
    """An ensemble of networks as a regressor of scikit-learn.

    Parameters are those of `EnsembleClassifier`; networks return numbers in units of the standard deviation
    of their target, from its mean.

    Attributes
    ----------
    ensemble_ : Ensemble
        The trained ensemble; `ensemble_.predict_distribution(X)` has the standard deviation of the members.
    predictions_ : Predictions or None
        Predictions of the members for the rows that the combiner was fitted on.
    n_features_in_ : int
        Number of features, or length of the first axis of one input.

    See Also
    --------
    EnsembleClassifier : The same for classes, with the description of the parameters.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from committee import EnsembleRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> found = EnsembleRegressor(n=3, epochs=15, lr=0.01).fit(X, y)
    >>> found.predict(X).shape, found.score(X, y) > 0.4
    ((442,), True)
    """

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    def fit(
        self, X: ArrayLike | Tensor, y: ArrayLike | Tensor, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Train the members on inputs `[N, D]`, or `[N, ...]`, and numbers `[N]` or `[N, T]`.

        `sample_weight` `[N]` is that of `EnsembleClassifier.fit`.
        """
        inputs, numbers = self._training_data(X, y, multi_output=True, y_numeric=True)
        if are_shares(numbers):
            log.warning(
                "EnsembleRegressor: the rows of y sum to 1, as one-hot classes do; they are read as numbers. "
                "For classes, use EnsembleClassifier with y.argmax(1)."
            )
        self.has_targets_ = numbers.ndim == 2
        numbers = numbers.reshape(len(numbers), -1).astype(np.float64)
        return self._fit(inputs, numbers, NUMBERS.strata(numbers), sample_weight, task="regression")

    def predict(self, X: ArrayLike | Tensor) -> NDArray[np.float64]:
        """Return the numbers of each row, float64 `[N]`, or `[N, T]` if those of the training had targets."""
        found = self._outputs(X).astype(np.float64)
        return found if self.has_targets_ else found[:, 0]


def _array(values: Any) -> Any:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else values


def _converted(inputs: NDArray[Any]) -> NDArray[Any]:
    """Return images of type uint8 as they are, and other inputs as float32."""
    return inputs if inputs.dtype == np.uint8 and inputs.ndim == 4 else inputs.astype(np.float32)
