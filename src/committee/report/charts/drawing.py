"""Charts as specifications of Vega-Lite, which altair makes and checks, and the script that draws them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec

from committee.errors import is_installed

Spec = dict[str, Any]
"""A specification of Vega-Lite."""
Arguments = ParamSpec("Arguments")
PACKAGES = ("altair", "vl_convert")
EXTRA = "report"
DIGITS = 5
"""Significant digits of numbers in charts: more are not visible."""
CHOSEN = "chosen"
"""The parameter of a chart with the names of the series that its legend has selected; by default all."""


def can_draw() -> bool:
    """Return whether the packages that charts need are installed."""
    return all(map(is_installed, PACKAGES))


def drawn(make: Callable[Arguments, Any]) -> Callable[Arguments, Spec | None]:
    """Return the function that makes the specification of a chart; None where altair is not installed.

    Parameters
    ----------
    make : function
        Returns a chart of altair, which gets the width of its place in the page.
    """

    @functools.wraps(make)
    def spec(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Spec | None:
        if not can_draw():
            return None
        found: Spec = make(*args, **kwargs).properties(width="container").to_dict()
        found.pop("config", None)  # That of the page.
        return found

    return spec


def table(rows: Iterable[Mapping[str, Any]]) -> Any:
    """Return rows as the data of a chart: numbers are rounded, and those that are not finite are null."""
    import altair as alt

    return alt.Data(values=[{key: _plain(value) for key, value in row.items()} for row in rows])


def faded(opacity: float = 1.0, hidden: str = "false") -> Any:
    """Return the opacity of marks with a field `series`: low unless the legend has selected the series.

    Parameters
    ----------
    opacity : float
        Of a selected series.
    hidden : str
        An expression of Vega; marks for which it is true are not visible, but can be pointed at.
    """
    import altair as alt

    is_chosen = f"!length({CHOSEN}) || indexof({CHOSEN}, datum.series) >= 0"
    first = alt.when(hidden).then(alt.value(0))
    return first.when(is_chosen).then(alt.value(opacity)).otherwise(alt.value(0.1 * opacity))


def layered(*layers: Any, height: float) -> Any:
    """Return the layers that have rows as one chart, with the parameter that its legend sets."""
    import altair as alt

    filled = [layer for layer in layers if layer.data["values"]]
    return (
        alt.layer(*(filled or layers[:1]))
        .add_params(alt.param(name=CHOSEN, value=[]))
        .properties(height=height)
    )


@functools.cache
def script() -> str:
    """Return the script that draws charts: Vega-Lite, Vega and its runtime, of the version of altair."""
    import altair as alt
    import vl_convert

    version = alt.SCHEMA_VERSION.removeprefix("v").rpartition(".")[0]
    text: str = vl_convert.javascript_bundle(vl_version=version)  # type: ignore[call-arg]
    return text


def _plain(value: Any) -> Any:
    if isinstance(value, bool | str | int) or value is None:
        return value
    number = float(value)
    return float(f"{number:.{DIGITS}g}") if math.isfinite(number) else None
