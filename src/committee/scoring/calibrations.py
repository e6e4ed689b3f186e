"""Ways to calibrate an ensemble: the combiner that is put around its rule."""

from __future__ import annotations

from committee.combiners.base import Combiner, build
from committee.scoring.scores import Scores

CALIBRATIONS = {
    "pooled": "temperature",
    "vector": "vector_scaling",
    "members": "member_temperature",
    "none": None,
}
"""Key of the combiner for each way to calibrate, as in the recipe."""


def calibrated(combiner: Combiner, how: str, seed: int = 0) -> Combiner:
    """Return the unfitted combiner that calibrates `combiner`, or `combiner` itself for `none`.

    Examples
    --------
    >>> from committee.combiners import SoftVoting
    >>> from committee.scoring import calibrated
    >>> calibrated(SoftVoting(), "pooled")
    Temperature(
      (inner): SoftVoting()
    )
    >>> calibrated(SoftVoting(), "none")
    SoftVoting()
    """
    key = CALIBRATIONS[how]
    return combiner if key is None else build({"combiner": key, "inner": combiner, "seed": seed})


def calibration_change(scores: Scores) -> dict[str, dict[str, float]]:
    """Return the cross-fitted `log_loss` and `ece` of a calibrator, `before` and `after` its calibration.

    Examples
    --------
    >>> from committee.combiners import SoftVoting
    >>> from committee.predictions import simulate
    >>> from committee.scoring import calibrated, calibration_change, score
    >>> rule = calibrated(SoftVoting(), "pooled")
    >>> _, scores = score(rule, simulate({"a": 2.0, "b": 2.0}, rows=200))
    >>> change = calibration_change(scores)
    >>> change["log_loss"]["after"] < change["log_loss"]["before"]
    True
    """
    assert scores.uncalibrated is not None
    return {
        name: {"before": value, "after": scores.cross_fitted[name].value}
        for name, value in scores.uncalibrated.items()
    }
