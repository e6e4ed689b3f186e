"""Elements of SVG drawings, whose text and attributes are escaped."""

from __future__ import annotations

from markupsafe import Markup, escape

EMPTY = ("img",)
"""Elements of HTML that have no end."""
SERIES = 8
"""Number of colors of series in the style sheet: classes `c0`, `c1`, ..."""


def tag(name: str, *content: object, **attributes: object) -> Markup:
    """Return an element; `_` in names of attributes is `-`, one at the end is left out, and so is None.

    Examples
    --------
    >>> from committee.report.charts.svg import tag
    >>> str(tag("text", "a < b", x=1.25, text_anchor="end", class_="tick"))
    '<text x="1.2" text-anchor="end" class="tick">a &lt; b</text>'
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_text(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in EMPTY:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{Markup('').join(map(escape, content))}</{name}>")


def drawing(label: str, width: float, height: float, *content: object, class_: str = "chart") -> Markup:
    """Return a drawing of this size in its own units, with a description for screen readers."""
    return tag(
        "svg",
        *content,
        class_=class_,
        viewBox=f"0 0 {_text(width)} {_text(height)}",
        role="img",
        aria_label=label,
    )


def color(series: int | None) -> str:
    """Return the class of a series, or of what is in the background for None; colors repeat."""
    return "cx" if series is None else f"c{series % SERIES}"


def _text(value: object) -> str:
    return f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
