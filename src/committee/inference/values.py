"""Predictions of numbers: the value of each target, with its unit and its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from committee.errors import DataError, UsageError
from committee.metrics.conformal import check_coverage
from committee.metrics.interval_table import IntervalTable
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
    reach : sequence of float, length T or 0
        Half-width of the interval of each value; none without intervals.
    note : str
        Sentence about the guarantee of the intervals.
    coverage : float, optional
        Probability with which an interval contains the true number, in 0..1.

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
    reach: Sequence[float] = ()
    note: str = ""
    coverage: float | None = None

    def suffix(self) -> str:
        """Return the settings as ` (intervals 0.95)`, or an empty string without intervals."""
        return "" if self.coverage is None else f" (intervals {self.coverage:g})"

    def interval(self, values: NDArray[np.float32]) -> list[tuple[float, float]]:
        """Return the ends of the interval of each value; none without intervals."""
        if not len(self.reach):
            return []
        return [
            (value - width, value + width) for value, width in zip(values.tolist(), self.reach, strict=True)
        ]

    def header(self) -> list[str]:
        """Return the columns of a CSV file between `id` and `model`."""
        ends = [f"{name} {end}" for name in self.target_names for end in ("low", "high")]
        return class_columns([*self.target_names, *(ends if len(self.reach) else [])])

    def cells(self, values: NDArray[np.float32]) -> list[str]:
        """Return the cells of a CSV file for values `[T]`: the values, then the ends of their intervals."""
        return [*map(str, values), *(f"{end:.7g}" for each in self.interval(values) for end in each)]

    def columns(self) -> list[str]:
        """Return the columns of a table after `image`: the targets with their units."""
        units = self.units or [""] * len(self.target_names)
        return [
            f"{name} ({unit})" if unit else name for name, unit in zip(self.target_names, units, strict=True)
        ]

    def shown(self, values: NDArray[np.float32]) -> list[object]:
        """Return the cells of a table for values `[T]`, of six digits."""
        shown = [f"{value:.6g}" for value in values.tolist()]
        ends = [f" [{low:.6g}, {high:.6g}]" for low, high in self.interval(values)]
        return [value + end for value, end in zip(shown, ends or [""] * len(shown), strict=True)]

    def entry(self, values: NDArray[np.float32]) -> dict[str, Any]:
        """Return what JSON says of values `[T]`."""
        found = {"values": dict(zip(self.target_names, values.tolist(), strict=True))}
        if not len(self.reach):
            return found
        return {**found, "intervals": dict(zip(self.target_names, self.interval(values), strict=True))}

    def facts(self) -> dict[str, Any]:
        """Return what JSON says of all images: the units, and the guarantee of the intervals."""
        units = {"units": dict(zip(self.target_names, self.units, strict=True))} if self.units else {}
        return {**units, "intervals": self.note} if self.note else units


def values_of(
    model: Predictor, *, coverage: float | None, method: str = "lac", abstain_below: float | None = None
) -> Values:
    """Return the rule for a model of numbers.

    Raises
    ------
    UsageError
        Another kind of sets, or abstention, is requested: they are made of the probabilities of classes.
    DataError
        Intervals are requested, and the model has no table of them.
    """
    for option, value in (
        ("--abstain-below", abstain_below),
        ("--sets", None if method == "lac" else method),
    ):
        if value is not None:
            raise UsageError(
                option,
                expected="a model that predicts classes",
                got=f"{model.name}, which predicts numbers",
                todo="Leave the option out.",
            )
    units = tuple(getattr(model, "units", ()))
    if coverage is None:
        return Values(model.class_names, units)
    check_coverage(coverage)
    found = model.provenance.get("sets")
    if found is None:
        raise DataError(
            model.name,
            expected="a model with a table of prediction intervals",
            got="one without",
            todo="Build the ensemble again (committee build-ensemble), and export it again.",
        )
    table = IntervalTable.from_json(found, model.name)
    reach = table.limit(coverage)
    if len(reach) != len(model.class_names):
        raise DataError(
            model.name,
            expected=f"intervals of {len(model.class_names)} targets",
            got=f"those of {len(reach)}",
        )
    if np.isinf(reach).any():
        raise DataError(
            model.name,
            expected=f"enough calibration rows for a coverage of {coverage:g}",
            got=str(table.n),
            todo="Give a smaller --coverage.",
        )
    note = f"Each interval contains the true number with a probability of {coverage:g} ({table.note})."
    return Values(model.class_names, units, reach.tolist(), note, coverage)


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
