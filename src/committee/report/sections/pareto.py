"""Score against latency and size, with the front of models that none beats in both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from committee.metrics.named import METRICS
from committee.pipeline.shared.best import is_single
from committee.pipeline.shared.rankings import ranking_of
from committee.pipeline.shared.reports import Report, value_of
from committee.report.blocks import Block, Chart, Row
from committee.report.cells import better, name_of
from committee.report.charts.frame import Frame
from committee.report.charts.scale import Scale
from committee.report.facts import Facts
from committee.report.sections.base import ReportSection

NAMED, FEW = 8, 100
"""Models that are named, and subsets whose points are larger."""
COSTS = {"latency_ms": "Milliseconds for one image", "size_mb": "Megabytes of weights"}


class Pareto(ReportSection):
    """Two charts: score by latency, and score by size, with the subsets that pruning evaluated.

    See Also
    --------
    committee.pruning.shared.front : The front of subsets.
    """

    title = "Score, latency and size"
    order = 40

    def applies(self, facts: Facts) -> bool:
        """Return whether there are two models to compare."""
        return len(facts.reports) > 1

    def blocks(self, facts: Facts) -> Iterator[Block]:
        """Yield the charts."""
        metrics = list(dict.fromkeys([facts.metric, ranking_of(facts.reports).beside]))
        for metric in metrics:
            charts = [_chart(facts, metric, cost) for cost in COSTS]
            yield Row([chart for chart in charts if chart is not None])


def _chart(facts: Facts, metric: str, cost: str) -> Chart | None:
    scored = [
        (_cost(report, cost), report["cross_fitted"][metric], report)
        for report in facts.reports
        if value_of(report, "cross_fitted", metric) is not None
    ]
    if len(scored) < 2:
        return None
    subsets = _subsets(facts, metric, cost)
    values = [score[key] for _, score, _ in scored for key in ("low", "high")] + [y for _, y in subsets]
    xs = Scale.of([*(x for x, _, _ in scored), *(x for x, _ in subsets)], log=True, margin=0.08)
    frame = Frame(xs, Scale.of(values), COSTS[cost], f"{metric}, cross-fitted")
    radius = 2.6 if len(subsets) < FEW else 1.6
    frame.points([x for x, _ in subsets], [y for _, y in subsets], None, radius)
    best = _front([(x, score["value"]) for x, score, _ in scored], METRICS[metric].sign)
    frame.line(
        [x for x, _ in best for _ in (0, 1)][1:],
        [y for _, y in best for _ in (0, 1)][:-1],
        None,
        style="dashed",
    )
    for x, score, report in reversed(scored):
        series = 0 if is_single(report) else 1
        frame.error(x, score["low"], score["high"], series)
        frame.point(x, score["value"], series, f"{name_of(report)}: {metric} {score['value']:.4g}, {x:.3g}")
    named = facts.recommendation.name if facts.recommendation is not None else None
    scored.sort(key=lambda each: each[2]["name"] != named)
    for x, score, report in scored[:NAMED]:
        frame.name(x, score["value"], name_of(report))
        if report["name"] == named:
            frame.ring(x, score["value"])
    caption = (
        f"{metric}: {better(metric)}. Vertical lines are 95% intervals; the ring is the recommended model."
    )
    if subsets:
        caption += (
            f" Small points are {len(subsets)} subsets of members that pruning looked at, with the score of "
            "the fit."
        )
    legend = [(0, "single members"), (1, "combinations"), (None, "Pareto front")]
    return Chart(
        f"{metric} by {'latency' if cost == 'latency_ms' else 'size'}", frame.svg(caption), caption, legend
    )


def _cost(report: Report, cost: str) -> float:
    found: Any = report[cost]
    return float(found["median"] if cost == "latency_ms" else found)


def _subsets(facts: Facts, metric: str, cost: str) -> list[tuple[float, float]]:
    """Return cost and score of the subsets that pruned ensembles evaluated."""
    found = set[tuple[float, float]]()
    for report in facts.reports:
        notes = report.get("notes") or {}
        if notes.get("metric") == metric:
            seen = notes.get("looked_at") or {}
            found |= set(zip(seen.get(cost, ()), seen.get("fit", ()), strict=False))
    return sorted(found)


def _front(points: Sequence[tuple[float, float]], sign: int) -> list[tuple[float, float]]:
    found: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda each: (each[0], -sign * each[1])):
        if not found or sign * y > sign * found[-1][1]:
            found.append((x, y))
    return found
