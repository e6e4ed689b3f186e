"""Scores, gains and costs as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from committee.base.text import two_digits
from committee.metrics.named import METRICS
from committee.pipeline.shared.summary import interval

Facts = Mapping[str, Any]
NOT_EVALUATED = "not evaluated"
"""In place of a gain in a metric whose gains are not tested."""
OVER_CALIBRATED = (
    "(c) Compared with the best single member after calibration, since this model is calibrated."
)


def score(metric: str, found: Facts | None) -> str:
    """Return a value of a metric with its interval; of a metric with a unit, with four significant digits.

    What has no value, such as the width of intervals from too few rows, is an empty text.
    """
    if found is None or found["value"] is None:
        return ""
    return (
        f"{found['value']:.4g} [{found['low']:.4g}, {found['high']:.4g}]"
        if has_unit(metric)
        else interval(found)
    )


def has_unit(metric: str) -> bool:
    """Return whether values of a metric have the unit of the target; those of unknown metrics have none."""
    return metric in METRICS and METRICS[metric].has_unit


def short_interval(found: Facts | None) -> str:
    """Return `0.9123 [0.895, 0.930]`, or an empty text for None."""
    return "" if found is None else f"{found['value']:z.4f} [{found['low']:z.3f}, {found['high']:z.3f}]"


def gain_in_words(found: Facts | None) -> str:
    """Return `0.012 better`, `no proven gain`, or `not evaluated` for None.

    The mark `(c)` of a proven gain refers to the note `OVER_CALIBRATED`.
    """
    if found is None:
        return NOT_EVALUATED
    if not found["proven"]:
        return "no proven gain"
    return f"{two_digits(found['value'])} better{' (c)' if is_over_calibrated(found) else ''}"


def than_source(report: Facts, found: Facts | None) -> str:
    """Return `than NAME` for a proven gain of a derived member: the best of its sources, maybe not of all."""
    if found is None or not found["proven"] or not report.get("of"):
        return ""
    return f"than {found['against'].partition('(')[2].removesuffix(')')}"


def is_over_calibrated(found: Facts | None) -> bool:
    """Return whether a gain is proven and compares with the best single member after calibration."""
    return found is not None and bool(found["proven"]) and ", calibrated" in str(found.get("against"))


def costs(report: Facts) -> str:
    """Return the time for an image and the size of the weights, such as `2.1 ms for an image and 2.7 MB`."""
    return f"{report['latency_ms']['median']:.1f} ms for an image and {report['size_mb']:.1f} MB"
