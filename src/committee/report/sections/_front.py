"""The models that no other model beats in score and latency at once."""

from __future__ import annotations

from committee.metrics.named import METRICS
from committee.pipeline.shared.reports import Report, value_of
from committee.report.facts import Facts


def front(facts: Facts) -> list[Report]:
    """Return the Pareto front of cross-fitted score and latency, fastest first."""
    sign = METRICS[facts.metric].sign
    scored = [
        (float(report["latency_ms"]["median"]), -sign * value, report)
        for report in facts.reports
        if (value := value_of(report, "cross_fitted", facts.metric)) is not None
    ]
    found: list[tuple[float, Report]] = []
    for _, loss, report in sorted(scored, key=lambda each: each[:2]):
        if not found or loss < found[-1][0]:
            found.append((loss, report))
    return [report for _, report in found]
