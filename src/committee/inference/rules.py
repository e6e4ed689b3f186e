"""The rule that turns what a model predicts into tables and files, by what the model predicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from committee.errors import UsageError
from committee.inference.answers import answers_of, why_invalid
from committee.inference.map_rules import (
    class_maps_of,
    number_maps_of,
    why_no_maps,
    why_no_probabilities,
)
from committee.inference.values import values_of, why_not_numbers
from committee.metrics.conformal import METHODS
from committee.metrics.interval_table import KINDS
from committee.models.predictor import Images, Predictor, Probabilities
from committee.predictions.target_types import CLASS_MAPS, CLASSES, NUMBER_MAPS, NUMBERS, target_type_of


class Rule(Protocol):
    """How predictions are shown and written.

    `row` is what a model predicts for an image: float32 `[C]`, or maps `[C, H, W]`.
    """

    @property
    def note(self) -> str:
        """A sentence about all predictions; blank for none."""
        ...

    def suffix(self) -> str:
        """Return the settings by which predictions of one model differ, as the end of its name."""
        ...

    def header(self) -> list[str]:
        """Return the columns of a CSV file between `id` and `model`."""
        ...

    def cells(self, row: NDArray[np.float32]) -> list[str]:
        """Return the cells of these columns."""
        ...

    def types(self) -> list[str]:
        """Return the Arrow types of these columns in a typed table, such as `float`."""
        ...

    def typed(self, row: NDArray[np.float32]) -> list[Any]:
        """Return the values of these columns in a typed table."""
        ...

    def columns(self) -> list[str]:
        """Return the columns of a table after `image`."""
        ...

    def shown(self, row: NDArray[np.float32]) -> list[object]:
        """Return the cells of these columns."""
        ...

    def entry(self, row: NDArray[np.float32]) -> dict[str, Any]:
        """Return what JSON says of an image."""
        ...

    def facts(self) -> dict[str, Any]:
        """Return what JSON says of all images."""
        ...


_RULES: Mapping[str, Callable[..., Rule]] = {
    CLASSES.name: answers_of,
    NUMBERS.name: values_of,
    CLASS_MAPS.name: class_maps_of,
    NUMBER_MAPS.name: number_maps_of,
}
_CHECKS: Mapping[str, Callable[[NDArray[Any], int], str]] = {
    CLASSES.name: why_invalid,
    NUMBERS.name: why_not_numbers,
    CLASS_MAPS.name: why_no_probabilities,
    NUMBER_MAPS.name: why_no_maps,
}


_KINDS: Mapping[str, Sequence[str]] = {CLASSES.name: METHODS, NUMBERS.name: KINDS}


def rule_of(
    model: Predictor,
    *,
    coverage: float | None,
    method: str | None = None,
    abstain_below: float | None = None,
    std: bool = False,
) -> Rule:
    """Return the rule for a model; the options are those of `answers` and `values_of`.

    Raises
    ------
    UsageError
        An option, which the message names, does not apply to what the model predicts.
    """
    kind = target_type_of(model)
    kinds = _KINDS.get(kind.name, ())
    if kinds and method is not None and method not in kinds:
        raise UsageError(
            "--sets",
            expected=f"one of {', '.join(kinds)} for {model.name}, which predicts {kind.name}",
            got=method,
            todo="Leave the option out.",
        )
    if std and kinds != KINDS:
        raise UsageError(
            "--std",
            expected="a model that predicts numbers of images",
            got=f"{model.name}, which predicts {kind.name.replace('_', ' ')}",
            todo="Leave the option out.",
        )
    more = {"std": True} if std else {}
    return _RULES[kind.name](
        model, coverage=coverage, method=method or (*kinds, "lac")[0], abstain_below=abstain_below, **more
    )


def as_needed(model: Predictor, rule: Rule) -> Predictor:
    """Return the model, or the model with its standard deviations if the rule needs them."""
    return WithSpread(model) if getattr(rule, "stds", ()) else model


class WithSpread:
    """A model of numbers that returns them with their standard deviations, `[B, T, 1 + S]`."""

    def __init__(self, model: Any) -> None:
        self._model = model

    @property
    def width(self) -> int:
        """Number of values for each target."""
        return 1 + len(self._model.std_names)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def __call__(self, images: Images) -> Probabilities:
        found: Probabilities = self._model.spread_of(images)
        return found


def why_wrong(model: Predictor, row: NDArray[Any]) -> str:
    """Return why the answer of a model for one image is not what it says that it predicts, or ''."""
    check, outputs = _CHECKS[target_type_of(model).name], len(model.class_names)
    return check(row.ravel(), outputs * model.width) if isinstance(model, WithSpread) else check(row, outputs)
