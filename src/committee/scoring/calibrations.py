"""Ways to calibrate an ensemble: the combiner that is put around its rule."""

from __future__ import annotations

from committee.combiners.base import Combiner, build
from committee.scoring.scores import Scores

CALIBRATIONS = {"pooled": "temperature", "members": "member_temperature", "none": None}
"""Key of the combiner for each way to calibrate, as in the recipe."""


def calibrated(combiner: Combiner, how: str, seed: int = 0) -> Combiner:
    """Return the unfitted combiner that calibrates `combiner`, or `combiner` itself for `none`."""
    key = CALIBRATIONS[how]
    return combiner if key is None else build({"combiner": key, "inner": combiner, "seed": seed})


def calibration_change(before: Scores, after: Scores) -> dict[str, dict[str, float]]:
    """Return the cross-fitted `log_loss` and `ece` `before` and `after` a calibration."""
    old, new = before.cross_fitted, after.cross_fitted
    return {name: {"before": old[name].value, "after": new[name].value} for name in ("log_loss", "ece")}
