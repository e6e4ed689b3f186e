"""Predictions of numbers: the value of each target, with its unit and its interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    stds : sequence of str
        Names of the standard deviations that rows have after the value, `[T, 1 + S]`; without them, rows are
        values `[T]`.
    offset : sequence of float, length T or 0
        If intervals are normalized, what is added to the standard deviation of each value, of which `reach`
        is then the multiple.
    show_std : bool
        Whether the standard deviations are shown.
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
    stds: Sequence[str] = ()
    offset: Sequence[float] = ()
    show_std: bool = False

    def suffix(self) -> str:
        """Return the settings as ` (intervals 0.95)`, or an empty string without intervals."""
        if self.coverage is None:
            return ""
        return f" ({'normalized ' if len(self.offset) else ''}intervals {self.coverage:g})"

    def values(self, row: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the values `[T]` of a row."""
        return row[:, 0] if self.stds else row

    def interval(self, row: NDArray[np.float32]) -> list[tuple[float, float]]:
        """Return the ends of the interval of each value; none without intervals."""
        if not len(self.reach):
            return []
        widths = np.asarray(self.reach)
        if len(self.offset):
            widths = widths * (np.sqrt(np.square(row[:, 1:]).sum(axis=1)) + np.asarray(self.offset))
        pairs = zip(self.values(row).tolist(), widths.tolist(), strict=True)
        return [(value - width, value + width) for value, width in pairs]

    def header(self) -> list[str]:
        """Return the columns of a CSV file between `id` and `model`."""
        ends = [f"{name} {end}" for name in self.target_names for end in ("low", "high")]
        stds = [f"{name}_{std}" for name in self.target_names for std in self.stds]
        return class_columns(
            [*self.target_names, *(stds if self.show_std else []), *(ends if len(self.reach) else [])]
        )

    def cells(self, row: NDArray[np.float32]) -> list[str]:
        """Return the cells of a CSV file: values, standard deviations, and the ends of intervals."""
        stds = map(str, row[:, 1:].ravel()) if self.show_std else ()
        ends = (f"{end:.7g}" for each in self.interval(row) for end in each)
        return [*map(str, self.values(row)), *stds, *ends]

    def types(self) -> list[str]:
        """Return the Arrow types of the columns of `header`."""
        floats = len(self.target_names) * (1 + len(self.stds) * self.show_std)
        return [*["float"] * floats, *["double"] * (2 * len(self.reach))]

    def typed(self, row: NDArray[np.float32]) -> list[Any]:
        """Return the values of these columns: values, standard deviations, and the ends of intervals."""
        stds = row[:, 1:].ravel().tolist() if self.show_std else ()
        ends = (end for each in self.interval(row) for end in each)
        return [*self.values(row).tolist(), *stds, *ends]

    def columns(self) -> list[str]:
        """Return the columns of a table after `image`: the targets with their units."""
        units = self.units or [""] * len(self.target_names)
        return [
            f"{name} ({unit})" if unit else name for name, unit in zip(self.target_names, units, strict=True)
        ]

    def shown(self, row: NDArray[np.float32]) -> list[object]:
        """Return the cells of a table, of six digits."""
        shown = [f"{value:.6g}" for value in self.values(row).tolist()]
        nothing = [""] * len(shown)
        stds = [self._stds_of(each) for each in row[:, 1:].tolist()] if self.show_std else nothing
        ends = [f" [{low:.6g}, {high:.6g}]" for low, high in self.interval(row)] or nothing
        return ["".join(cell) for cell in zip(shown, stds, ends, strict=True)]

    def _stds_of(self, values: Sequence[float]) -> str:
        pairs = zip(self.stds, values, strict=True)
        return f" ({', '.join(f'{name} {value:.3g}' for name, value in pairs)})"

    def entry(self, row: NDArray[np.float32]) -> dict[str, Any]:
        """Return what JSON says of an image."""

        def by_target(column: Sequence[Any]) -> dict[str, Any]:
            return dict(zip(self.target_names, column, strict=True))

        found = {"values": by_target(self.values(row).tolist())}
        if self.show_std:
            columns = zip(self.stds, row[:, 1:].T.tolist(), strict=True)
            found |= {name: by_target(column) for name, column in columns}
        return {**found, "intervals": by_target(self.interval(row))} if len(self.reach) else found

    def facts(self) -> dict[str, Any]:
        """Return what JSON says of all images: the units, and the guarantee of the intervals."""
        units = {"units": dict(zip(self.target_names, self.units, strict=True))} if self.units else {}
        return {**units, "intervals": self.note} if self.note else units


def values_of(
    model: Predictor,
    *,
    coverage: float | None,
    method: str = "absolute",
    abstain_below: float | None = None,
    std: bool = False,
) -> Values:
    """Return the rule for a model of numbers.

    Parameters
    ----------
    model : Predictor
    coverage : float or None
        Probability with which an interval shall contain the true number; None for no intervals.
    method : {"absolute", "normalized"}
        Whether intervals are as wide for all images, or in proportion to the standard deviation of each.
    abstain_below : float, optional
        Refused.
    std : bool
        Whether standard deviations are shown.

    Raises
    ------
    UsageError
        Abstention is requested, which needs the probabilities of classes, or standard deviations of a model
        that has none.
    DataError
        Intervals are requested, and the model has no table of them.
    """
    if abstain_below is not None:
        raise UsageError(
            "--abstain-below",
            expected="a model that predicts classes",
            got=f"{model.name}, which predicts numbers",
            todo="Leave the option out.",
        )
    normalized = coverage is not None and method == "normalized"
    stds = tuple(getattr(model, "std_names", ())) if std or normalized else ()
    if (std or normalized) and not stds:
        raise UsageError(
            "--std" if std else "--sets",
            expected="a model that predicts how uncertain its numbers are: one of several members, or of "
            "networks with variances (training.loss=gaussian_nll)",
            got=model.name,
            todo="Leave the option out.",
        )
    rule = Values(model.class_names, tuple(getattr(model, "units", ())), stds=stds, show_std=std)
    return rule if coverage is None else _with_intervals(rule, model, coverage, normalized)


def _with_intervals(rule: Values, model: Predictor, coverage: float, normalized: bool) -> Values:
    """Return the rule with intervals, of which the model has the table."""
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
    if normalized and not table.normalized:
        raise DataError(
            model.name,
            expected="a model with a table of normalized intervals",
            got="one of absolute intervals",
            todo="Build the ensemble again (committee build-ensemble), or leave --sets out.",
        )
    reach = table.limit(coverage, "normalized" if normalized else "absolute")
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
    offset = table.offset if normalized else ()
    return replace(rule, reach=reach.tolist(), note=note, coverage=coverage, offset=offset)


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
