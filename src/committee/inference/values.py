"""Predictions of numbers: the value of each target, with its unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.errors import UsageError
from committee.models.predictor import Predictor
from committee.predictions.files.shared.writing import class_columns


@dataclass(frozen=True)
class Values:
    """Rule that shows the predicted numbers of an image.

    Parameters
    ----------
    target_names : sequence of str, length T
        Target of each value.
    units : sequence of str
        Unit of each target, which may be blank; none if they are not known.

    See Also
    --------
    committee.inference.answers.Answers : The rule for classes.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.inference.values import Values
    >>> rule = Values(["age", "height"], ["years", ""])
    >>> rule.columns(), rule.shown(np.array([41.25, 1.8125], np.float32))
    (['age (years)', 'height'], ['41.25', '1.8125'])
    """

    target_names: Sequence[str]
    units: Sequence[str] = ()
    note: str = ""

    def suffix(self) -> str:
        """Return the settings by which predictions of one model differ: there are none."""
        return ""

    def header(self) -> list[str]:
        """Return the columns of a CSV file between `id` and `model`."""
        return class_columns(self.target_names)

    def cells(self, values: NDArray[np.float32]) -> list[str]:
        """Return the cells of a CSV file for values `[T]`."""
        return list(map(str, values))

    def columns(self) -> list[str]:
        """Return the columns of a table after `image`: the targets with their units."""
        units = self.units or [""] * len(self.target_names)
        return [
            f"{name} ({unit})" if unit else name for name, unit in zip(self.target_names, units, strict=True)
        ]

    def shown(self, values: NDArray[np.float32]) -> list[object]:
        """Return the cells of a table for values `[T]`, of six digits."""
        return [f"{value:.6g}" for value in values.tolist()]

    def entry(self, values: NDArray[np.float32]) -> dict[str, Any]:
        """Return what JSON says of values `[T]`."""
        return {"values": dict(zip(self.target_names, values.tolist(), strict=True))}

    def facts(self) -> dict[str, Any]:
        """Return what JSON says of all images: the unit of each target."""
        return {"units": dict(zip(self.target_names, self.units, strict=True))} if self.units else {}


def values_of(
    model: Predictor, *, coverage: float | None, method: str = "lac", abstain_below: float | None = None
) -> Values:
    """Return the rule for a model of numbers.

    Raises
    ------
    UsageError
        Prediction sets or abstention are requested, which are made of the probabilities of classes.
    """
    for option, value in (("--coverage", coverage), ("--abstain-below", abstain_below)):
        if value is not None:
            raise UsageError(
                option,
                expected="a model that predicts classes",
                got=f"{model.name}, which predicts numbers",
                todo="Leave the option out.",
            )
    return Values(model.class_names, tuple(getattr(model, "units", ())))


def why_not_numbers(values: NDArray[Any], targets: int) -> str:
    """Return why the answer of a model for one image is not a number for each target, or ''.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.inference.values import why_not_numbers
    >>> why_not_numbers(np.array([3.5, np.nan]), targets=2)
    'NaN or infinity'
    """
    if values.shape != (targets,):
        return f"an array {list(values.shape)}"
    return "" if np.isfinite(values).all() else "NaN or infinity"
