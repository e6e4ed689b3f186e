"""A plot of accuracy, or of the error of numbers, against latency, with the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from committee.errors import is_installed, require
from committee.pipeline.comparing.row import Row
from committee.pipeline.comparing.words import name_of
from committee.store.commit import replacing

SIZE = (10.0, 5.0)
COLORS = ("#1b6ca8", "#9aa5b1", "#d1495b", "#2f9e62")
"""Colors of files on the front, of other files, of the budget and of the recommended file."""


def require_matplotlib() -> None:
    """Raise DependencyError unless Matplotlib is installed."""
    if not is_installed("matplotlib"):
        raise require("matplotlib", "plots", "a plot of the comparison")


def front(rows: Sequence[Row]) -> list[Row]:
    """Return the rows that no other row beats in score and latency at once, fastest first.

    Examples
    --------
    >>> from committee.pipeline.comparing.plot import front
    >>> front([])
    []
    """
    found: list[Row] = []
    for row in sorted(rows, key=lambda each: (each.latency_ms, -_merit(each))):
        if not found or _merit(row) > _merit(found[-1]):
            found.append(row)
    return found


def write_plot(
    rows: Sequence[Row], path: Path, title: str, chosen: str | None = None, limit: float | None = None
) -> None:
    """Write a PNG file: a point with its interval for each row, and the Pareto front.

    Parameters
    ----------
    rows : sequence of Row
        One or more.
    path : Path
        The file.
    title : str
    chosen : str, optional
        Key of the recommended row.
    limit : float, optional
        The latency of the budget, in milliseconds.

    Raises
    ------
    DependencyError
        Matplotlib is not installed.
    StoreError
        The file cannot be written; an existing one is not changed.
    """
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter

    figure = Figure(figsize=SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    best = front(rows)
    axes.plot(
        [row.latency_ms for row in best],
        [_score(row) for row in best],
        color=COLORS[0],
        linewidth=1,
        label="Pareto front",
        drawstyle="steps-post",
        zorder=1,
    )
    for row in rows:
        _point(axes, row, COLORS[3] if row.key == chosen else COLORS[0] if row in best else COLORS[1])
    _names(axes, rows)
    if limit is not None:
        axes.axvline(limit, color=COLORS[2], linestyle="--", linewidth=1, label=f"budget, {limit:g} ms")
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(LogFormatter(minor_thresholds=(1, 0.4)))
    metric = rows[0].guarded
    name = name_of(metric.name)
    what = name[:1].upper() + name[1:] if metric.higher_is_better else f"{name} (lower is better)"
    axes.set(xlabel="Median latency for one image, ms", ylabel=f"{what}, with 95% intervals", title=title)
    axes.grid(color="#e5e8eb", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(x=0.25, y=0.15)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(frameon=False, loc="lower right" if metric.higher_is_better else "upper right")
    with replacing(path) as new:
        figure.savefig(new, dpi=150, format="png")


def _point(axes: Any, row: Row, color: str) -> None:
    score = row.scores[row.guarded.name]
    around = [[max(score["value"] - score["low"], 0.0)], [max(score["high"] - score["value"], 0.0)]]
    axes.errorbar(
        row.latency_ms,
        score["value"],
        yerr=around,
        fmt="o" if row.is_exact else "s",
        color=color,
        elinewidth=0.8,
        capsize=2,
        markersize=6,
        zorder=2,
    )


def _names(axes: Any, rows: Sequence[Row]) -> None:
    """Number the points, and list their names beside the axes, where they do not overlap."""
    for number, row in enumerate(rows, 1):
        axes.annotate(
            str(number),
            (row.latency_ms, _score(row)),
            xytext=(6 + 9 * (number % 2), 4),
            textcoords="offset points",
            fontsize=8,
        )
    listed = "\n".join(f"{number}  {row.key}" for number, row in enumerate(rows, 1))
    axes.annotate(
        listed,
        (1, 1),
        xytext=(8, 0),
        xycoords="axes fraction",
        textcoords="offset points",
        va="top",
        fontsize=8,
        linespacing=1.6,
    )


def _score(row: Row) -> float:
    return float(row.scores[row.guarded.name]["value"])


def _merit(row: Row) -> float:
    """Return the score with the sign for which larger is better."""
    return row.guarded.sign * _score(row)
