"""Figures of matplotlib, which `plot` methods return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from committee.errors import is_installed, require

COLORS = ("#0b5ea8", "#d55e00", "#00916a", "#98a2ad")
"""Colors that color-blind people can tell apart; the last one is for what is in the background."""


def new_axes(purpose: str, width: float = 6.4, height: float = 4.0) -> Any:
    """Return the axes of a new figure, without a window; the figure is `axes.figure`.

    Raises
    ------
    DependencyError
        Matplotlib is not installed. `purpose` says what needs it.
    """
    if not is_installed("matplotlib"):
        raise require("matplotlib", "plots", purpose)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.grid(color="#e5e8eb", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return axes


def interval_figure(
    names: Sequence[str], found: Sequence[Any], label: str, purpose: str, zero: bool = False
) -> Any:
    """Return a figure with a point and an interval for each name, the first at the top.

    Parameters
    ----------
    names : sequence of str
    found : sequence
        Objects with `value`, `low` and `high`.
    label : str
        Name of the horizontal axis.
    purpose : str
        What needs matplotlib, for the error where it is not installed.
    zero : bool
        Whether to mark 0: intervals to its right are colored.
    """
    axes = new_axes(purpose, height=1.2 + 0.32 * len(names))
    for place, each in enumerate(found):
        color = COLORS[0] if not zero else COLORS[2] if each.low > 0 else COLORS[3]
        axes.plot([each.low, each.high], [place, place], color=color, linewidth=2, alpha=0.6)
        axes.plot(each.value, place, "o", color=color)
    if zero:
        axes.axvline(0, color="#5c6670", linestyle=":", linewidth=1)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel(label)
    return axes.figure
