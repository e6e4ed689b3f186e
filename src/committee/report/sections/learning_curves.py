"""Learning curves of fits, from their tables of epochs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from committee.base.text import duration
from committee.errors import printable
from committee.report.blocks import Block, Chart, Row, Text
from committee.report.charts.frame import Frame
from committee.report.charts.scale import Scale
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
    lines = {
        (fit, key): [(_number(row, "epoch") or 0.0, _number(row, key)) for row in rows]
        for fit, rows in fits.items()
        for key in shown
    }
    values = [y for line in lines.values() for _, y in line if y is not None]
    longest = max(x for line in lines.values() for x, _ in line) if lines else 1.0
    frame = Frame(Scale(1, max(longest, 2)), Scale.of(values), "epoch", "loss")
    for (fit, key), line in lines.items():
        xs, ys = [x for x, _ in line], [math.nan if y is None else y for _, y in line]
        frame.line(xs, ys, SERIES[key][0], f"{fit}: {SERIES[key][1]}", "line" if fit == "refit" else "thin")
        if len(xs) == 1 and math.isfinite(ys[0]):
            frame.point(xs[0], ys[0], SERIES[key][0], f"{fit}: {ys[0]:.4g}", r=3.0)
    return Chart(printable(name), frame.svg(f"Learning curves of {name}"), "", [SERIES[key] for key in shown])


def _number(row: Mapping[str, str], key: str) -> float | None:
    try:
        value = float(row.get(key) or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None
