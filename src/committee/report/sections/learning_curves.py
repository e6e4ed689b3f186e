"""Learning curves of fits, from their tables of epochs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from committee.base.text import count, duration
from committee.errors import printable
from committee.report.blocks import Block, Chart, Row, Text
from committee.report.charts.axes import Axis
from committee.report.charts.lines import Line, lines
from committee.report.facts import Facts
from committee.report.sections.base import ReportSection

MOST = 12
SERIES = {
    "train_loss": (0, "loss of training"),
    "inner_log_loss": (1, "loss of the validation slice"),
    "inner_rmse": (1, "RMSE of the validation slice"),
}
Rows = Sequence[Mapping[str, str]]


class LearningCurves(ReportSection):
    """A chart for each of the best members, with a line for each of its fits.

    See Also
    --------
    committee.training.fit.journal : Writes the tables.
    """

    title = "Learning curves"
    order = 140

    def applies(self, facts: Facts) -> bool:
        """Return whether a member has a table of epochs."""
        return bool(facts.epochs)

    def blocks(self, facts: Facts) -> Iterator[Block]:
        """Yield the charts, and how long training took."""
        names = list(facts.epochs)
        yield Row([_chart(name, facts.epochs[name]) for name in names[:MOST]])
        seconds = sum(
            _number(row, "seconds") or 0.0
            for fits in facts.epochs.values()
            for rows in fits.values()
            for row in rows
        )
        fits = sum(map(len, facts.epochs.values()))
        more = f" Charts are shown of the best {MOST} of {len(names)} members." if len(names) > MOST else ""
        yield Text(
            f"Thin lines are fits of folds, thick ones the refit. The epochs of {fits} fits took "
            f"{duration(seconds / 3600)} in total.{more}",
            "note",
        )


def _chart(name: str, fits: Mapping[str, Rows]) -> Chart:
    shown = [
        key for key in SERIES if any(_number(row, key) is not None for rows in fits.values() for row in rows)
    ]
    found = [_line(fit, rows, key) for fit, rows in fits.items() for key in shown]
    spec = lines(found, Axis("epoch", whole=True), Axis("loss"))
    return Chart(printable(name), spec, _last(fits, shown), [SERIES[key] for key in shown])


def _line(fit: str, rows: Rows, key: str) -> Line:
    series, name = SERIES[key]
    epochs, values = ([_number(row, each) or math.nan for row in rows] for each in ("epoch", key))
    return Line(name, epochs, values, series, 2.4 if fit == "refit" else 1.0, part=fit)


def _last(fits: Mapping[str, Rows], shown: Sequence[str]) -> str:
    """Return the mean of the last epochs in words."""
    ends = {key: [_number(rows[-1], key) for rows in fits.values() if rows] for key in shown}
    known = {key: [value for value in values if value is not None] for key, values in ends.items()}
    means = [f"{SERIES[key][1]} {sum(values) / len(values):.4g}" for key, values in known.items() if values]
    return f"Mean of the last epochs of {count(len(fits), 'fit')}: {', '.join(means)}." if means else ""


def _number(row: Mapping[str, str], key: str) -> float | None:
    try:
        value = float(row.get(key) or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
