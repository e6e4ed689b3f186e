"""The look of all charts.

Colors are variables of the style sheet of the page, so that charts follow its dark mode and its print
without being drawn again.
"""

from __future__ import annotations

from typing import Any

SERIES = 8
"""Number of colors of series in the style sheet: `c0`, `c1`, ..."""
HEIGHT = 250
"""Height of a chart in pixels."""
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
TEXT, MUTED, LINE = "var(--text)", "var(--muted)", "var(--line)"
CONFIG: dict[str, Any] = {
    "aria": False,  # The figure has the description; each mark would repeat a number of the table.
    "background": None,
    "font": FONT,
    "view": {"stroke": None},
    "axis": {
        "labelColor": MUTED,
        "titleColor": MUTED,
        "titleFontWeight": "normal",
        "labelFontSize": 11,
        "titleFontSize": 12,
        "titlePadding": 8,
        "gridColor": LINE,
        "domainColor": MUTED,
        "tickColor": MUTED,
        "labelLimit": 120,
    },
    "axisX": {"grid": False, "labelOverlap": True, "labelFlush": False, "tickCount": 6},
    "axisY": {"domain": False, "ticks": False, "labelPadding": 6},
    "text": {"color": TEXT, "fontSize": 11},
    "rule": {"color": MUTED},
}
"""Settings of Vega-Lite, which the page has once for all of its charts."""


def key(series: int | None) -> str:
    """Return the name of the color of a series, or of what is in the background for None; colors repeat."""
    return "cx" if series is None else f"c{series % SERIES}"


def color(series: int | None) -> str:
    """Return the color of a series as a variable of the style sheet."""
    return f"var(--{key(series)})"
