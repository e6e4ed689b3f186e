"""The rule that turns what a model predicts into tables and files, by what the model predicts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from committee.inference.answers import answers_of, why_invalid
from committee.inference.map_rules import (
    class_maps_of,
    number_maps_of,
    why_no_maps,
    why_no_probabilities,
)
from committee.inference.values import values_of, why_not_numbers
from committee.models.predictor import Predictor
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


def rule_of(
    model: Predictor, *, coverage: float | None, method: str = "lac", abstain_below: float | None = None
) -> Rule:
    """Return the rule for a model; the options are those of `answers`, and errors name them."""
    make = _RULES[target_type_of(model).name]
    return make(model, coverage=coverage, method=method, abstain_below=abstain_below)


def why_wrong(model: Predictor, row: NDArray[Any]) -> str:
    """Return why the answer of a model for one image is not what it says that it predicts, or ''."""
    return _CHECKS[target_type_of(model).name](row, len(model.class_names))
