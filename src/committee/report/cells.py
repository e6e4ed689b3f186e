"""Cells of tables that several sections have: scores with their intervals, costs and names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from committee.errors import printable
from committee.metrics.named import METRICS
from committee.pipeline.shared.reports import Report
from committee.report.bars import Scale, interval_bar
from committee.report.blocks import Cell
from committee.report.text import has_unit


def value_cell(value: float | None, metric: str = "") -> Cell:
    """Return a number with four decimals; that of a metric with a unit, with four significant digits."""
    if value is None or value != value:
        return Cell("")
    return Cell(f"{value:{'.4g' if has_unit(metric) else 'z.4f'}}", value)


def scale_of(found: Sequence[Mapping[str, Any] | None], zero: bool = False) -> Scale:
    """Return the scale of intervals; with `zero`, it contains 0."""
    ends = [each[key] for each in found if each for key in ("low", "value", "high")]
    return Scale.of([*ends, *([0.0] if zero else [])])


def interval_cell(
    found: Mapping[str, Any] | None, metric: str, scale: Scale, series: int | None = 0, mark: str = ""
) -> Cell:
    """Return a value with its interval as a bar; an empty cell for None."""
    if found is None or found["value"] is None or found["value"] != found["value"]:
        return Cell("")
    text = value_cell(found["value"], metric).text + mark
    return Cell(text, found["value"], interval_bar(found, scale, series), "score")


def name_of(report: Report) -> str:
    """Return the name of a model on one line."""
    return printable(str(report["name"]))


def latency(report: Report) -> Cell:
    """Return the milliseconds for one image."""
    value = float(report["latency_ms"]["median"])
    return Cell(f"{value:.1f}", value)


def size(report: Report) -> Cell:
    """Return the megabytes of the weights."""
    return Cell(f"{report['size_mb']:.1f}", float(report["size_mb"]))


def better(metric: str) -> str:
    """Return whether higher or lower is better, for headings."""
    return "higher is better" if METRICS[metric].higher_is_better else "lower is better"
