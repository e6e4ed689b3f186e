"""Score against latency and size, with the front of models that none beats in both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from committee.metrics.named import METRICS
from committee.pipeline.shared.best import is_single
from committee.pipeline.shared.rankings import ranking_of
from committee.pipeline.shared.reports import Report, value_of
from committee.report.blocks import Block, Chart, Row
from committee.report.cells import better, name_of
from committee.report.charts.axes import Axis
from committee.report.charts.costs import SERIES, Point, costs
from committee.report.facts import Facts
from committee.report.sections.base import ReportSection

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
    best = _front([(x, score["value"]) for x, score, _ in scored], METRICS[metric].sign)
    named = facts.recommendation.name if facts.recommendation is not None else None
    models = [_model(x, score, report, report["name"] == named) for x, score, report in scored]
    models.sort(key=lambda each: (not each["recommended"], (each["cost"], each["value"]) not in best))
    spec = costs(models, best, subsets, Axis(COSTS[cost], log=True), Axis(f"{metric}, cross-fitted"))
    title = f"{metric} by {'latency' if cost == 'latency_ms' else 'size'}"
    legend = [(series, name) for name, series in SERIES.items()]
    return Chart(title, spec, _caption(metric, models, len(subsets)), legend)


def _model(x: float, score: Mapping[str, float], report: Report, is_recommended: bool) -> dict[str, Any]:
    series = "single members" if is_single(report) else "combinations"
    ends = {key: score[key] for key in ("value", "low", "high")}
    return {"name": name_of(report), "cost": x, "series": series, "recommended": is_recommended, **ends}


def _caption(metric: str, models: Sequence[Mapping[str, Any]], subsets: int) -> str:
    text = (
        f"{metric}: {better(metric)}. Vertical lines are 95% intervals; the dashed line is the Pareto front."
    )
    if models[0]["recommended"]:
        text += f" The ring is the recommended model, {models[0]['name']}."
    if subsets:
        text += f" Small points are {subsets} subsets that pruning looked at, with the score of the fit."
    return text


def _cost(report: Report, cost: str) -> float:
    found: Any = report[cost]
    return float(found["median"] if cost == "latency_ms" else found)


def _subsets(facts: Facts, metric: str, cost: str) -> list[Point]:
    """Return cost and score of the subsets that pruned ensembles evaluated."""
    found = set[tuple[float, float]]()
    for report in facts.reports:
        notes = report.get("notes") or {}
        if notes.get("metric") == metric:
            seen = notes.get("looked_at") or {}
            found |= set(zip(seen.get(cost, ()), seen.get("fit", ()), strict=False))
    return sorted(found)


def _front(points: Sequence[Point], sign: int) -> list[Point]:
    found: list[Point] = []
    for x, y in sorted(points, key=lambda each: (each[0], -sign * each[1])):
        if not found or sign * y > sign * found[-1][1]:
            found.append((x, y))
    return found
