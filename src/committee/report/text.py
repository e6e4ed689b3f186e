"""Scores, gains and costs as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from committee.base.text import two_digits

Facts = Mapping[str, Any]


def interval(found: Facts | None) -> str:
    """Return `0.9123 [0.8951, 0.9302]`, or an empty text for None."""
    return "" if found is None else f"{found['value']:.4f} [{found['low']:.4f}, {found['high']:.4f}]"


def short_interval(found: Facts | None) -> str:
    """Return `0.9123 [0.895, 0.930]`, or an empty text for None."""
    return "" if found is None else f"{found['value']:.4f} [{found['low']:.3f}, {found['high']:.3f}]"


def gain_in_words(found: Facts | None) -> str:
    """Return `0.012 better`, `no proven gain`, or an empty text for None."""
    if found is None:
        return ""
    return f"{two_digits(found['value'])} better" if found["proven"] else "no proven gain"


def costs(report: Facts) -> str:
    """Return the time for an image and the size of the weights, such as `2.1 ms for an image and 2.7 MB`."""
    return f"{report['latency_ms']['median']:.1f} ms for an image and {report['size_mb']:.1f} MB"
