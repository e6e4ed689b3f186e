"""Half-widths of prediction intervals of numbers for any coverage. This module does not import torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.errors import DataError
from committee.metrics.conformal import Floats, check_coverage
from committee.metrics.set_table import MIN_GROUPS, calibration_note

LEVELS = 200
KINDS = ("absolute", "normalized")
OFFSET = 0.01
"""Share of the mean spread that is added to each spread."""
OF_SPREADS = ("normalized", "offset")


@dataclass(frozen=True)
class IntervalTable:
    """Half-widths of intervals around predicted numbers, computed from calibration rows.

    Attributes
    ----------
    n : int
        Number of calibration rows.
    rows : str
        Source of the calibration rows: `val` (held out) or `oof` (out of fold).
    other_fits : bool
        Whether the calibration rows were predicted by other fits than those that are deployed.
    groups : int or None
        Number of groups of dependent calibration rows; None for independent rows. At least 19 groups are
        resampled as a whole; fewer are treated as independent rows.
    limits : list of list of float
        For each target, its half-widths for the coverages k/200, k from 1; after them, intervals have no end.
    normalized : list of list of float
        The same of half-widths divided by the spread of the prediction, plus `offset`; empty without spreads.
    offset : list of float
        For each target, what is added to spreads: a hundredth of their mean over the calibration rows, so
        that members that agree by chance do not have intervals of zero width.

    See Also
    --------
    prediction_intervals : The intervals for a half-width.
    SetTable : The same for classes.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.metrics import IntervalTable
    >>> truth = np.arange(1.0, 20.0)
    >>> table = IntervalTable.of(np.zeros(19), truth, rows="val", approximate=False)
    >>> table.limit(0.9).tolist(), table.limit(0.99).tolist()
    ([18.0], [inf])
    """

    n: int
    rows: str
    other_fits: bool
    groups: int | None
    limits: Sequence[Sequence[float]]
    normalized: Sequence[Sequence[float]] = ()
    offset: Sequence[float] = ()

    @classmethod
    def of(
        cls,
        values: ArrayLike,
        truth: ArrayLike,
        *,
        rows: str,
        approximate: bool,
        groups: ArrayLike | None = None,
        spread: ArrayLike | None = None,
    ) -> Self:
        """Compute the table from predicted and true numbers `[N]` or `[N, T]` of calibration rows.

        Parameters
        ----------
        values, truth : float array [N] or [N, T]
        rows : str
            Source of the rows.
        approximate : bool
            Whether other fits than the deployed ones predicted them.
        groups : array [N], optional
            Groups of dependent rows.
        spread : float array of the shape of values, optional
            Standard deviation of each prediction, for normalized intervals.
        """
        from committee.metrics.conformal_numbers import residual_scores  # imports scipy

        scores = residual_scores(values, truth)
        number = None if groups is None else len(np.unique(groups))
        units = groups if number is not None and number >= MIN_GROUPS else None
        facts = len(scores), rows, approximate, number, _finite_limits(scores, units)
        sizes = None if spread is None else np.asarray(spread, np.float64).reshape(scores.shape)
        if sizes is None or not (sizes.mean(axis=0) > 0).all():
            return cls(*facts)
        offset = OFFSET * sizes.mean(axis=0)
        return cls(*facts, _finite_limits(scores / (sizes + offset), units), offset.tolist())

    @property
    def approximate(self) -> bool:
        """Whether the coverage is approximate."""
        return self.other_fits or (self.groups is not None and self.groups < MIN_GROUPS)

    @property
    def note(self) -> str:
        """A description of the calibration rows and of the kind of coverage that follows."""
        return calibration_note(self.n, self.rows, self.other_fits, self.groups)

    def limit(self, coverage: float, kind: str = "absolute") -> Floats:
        """Return the half-width for each target, float64 `[T]`, of the next coverage that the table has.

        That of the kind `normalized` is in units of `size_of` of the spread. It is infinite if there were too
        few rows.
        """
        check_coverage(coverage)
        place = math.ceil(round(coverage * LEVELS, 9)) - 1
        limits = self.normalized if kind == "normalized" else self.limits
        return np.array([each[place] if place < len(each) else math.inf for each in limits])

    def size_of(self, spread: ArrayLike) -> NDArray[np.float64]:
        """Return the spreads `[..., T]` of predictions, plus `offset`."""
        return np.asarray(spread, np.float64) + np.asarray(self.offset)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values, from which `from_json` restores the table."""
        facts = {key: value for key, value in asdict(self).items() if key not in OF_SPREADS or value}
        return {**facts, "approximate": self.approximate, "note": self.note}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any], who: str) -> Self:
        """Restore a table, or raise a DataError that names `who`."""
        try:
            limits, normalized = (
                [[float(width) for width in each] for each in facts.get(key, ())]
                for key in ("limits", "normalized")
            )
            offset = [float(each) for each in facts.get("offset", ())]
            groups = facts["groups"]
            if not limits or any(not width >= 0 for each in (*limits, *normalized) for width in each):
                raise ValueError("limits")
            if len(normalized) != len(offset) or len(offset) not in (0, len(limits)):
                raise ValueError("normalized")
            number = None if groups is None else int(groups)
            facts_of_rows = int(facts["n"]), str(facts["rows"]), bool(facts["other_fits"]), number
            return cls(*facts_of_rows, limits, normalized, offset)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                who,
                expected="a table of prediction intervals",
                got="another",
                todo="Build the ensemble again (committee build-ensemble), and export it again.",
            ) from error


def _finite_limits(scores: NDArray[np.float64], units: ArrayLike | None) -> list[list[float]]:
    """Return the finite limits of the scores of each target."""
    from committee.metrics.conformal_numbers import interval_limits

    found = interval_limits(scores, (np.arange(1, LEVELS) / LEVELS).tolist(), units)
    return [each[np.isfinite(each)].tolist() for each in found.T]
