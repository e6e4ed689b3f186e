"""The ways to calibrate an ensemble: which combiner is put around its rule."""

from __future__ import annotations

from committee.combiners.base import Combiner, build

CALIBRATIONS = {"pooled": "temperature", "members": "member_temperature", "none": None}


def calibrated(combiner: Combiner, how: str, seed: int = 0) -> Combiner:
    """Return a combiner inside the one that calibrates it; itself for `none`."""
    key = CALIBRATIONS[how]
    return combiner if key is None else build({"combiner": key, "inner": combiner, "seed": seed})
