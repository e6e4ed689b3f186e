"""The order of the evaluated models of a store, and the winner among some of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from committee.metrics.named import METRICS
from committee.pipeline.shared.reports import Report, rank, score_draws, value_of
from committee.scoring.choice import Contender, choose, ranked
from committee.store.layout import Store


def order(store: Store, reports: Sequence[Report], metric: str) -> list[Report]:
    """Return the reports as `rank` does, with each cascade after the vote of its members.

    A cascade that is better than the vote by more than chance keeps its place.
    """
    listed = rank(reports, metric)
    comparable = _comparable(listed, metric)
    by_name = {report["name"]: report for report in comparable}
    first = [by_name[each.name] for each in ranked(_contenders(store, comparable, metric))]
    return [*first, *(report for report in listed if report["name"] not in by_name)]


def winner(store: Store, reports: Sequence[Report], metric: str) -> tuple[Report, Report] | None:
    """Return the report of the winner, and that of the best score, or None if there are no reports.

    The winner is the fastest model whose score cannot be told from the best one; see
    `committee.scoring.choice.choose`.
    """
    listed = rank(reports, metric)
    comparable = _comparable(listed, metric)
    if not comparable:
        return (listed[0], listed[0]) if listed else None
    by_name = {report["name"]: report for report in comparable}
    found, best = choose(_contenders(store, comparable, metric))
    return by_name[found.name], by_name[best.name]


def _comparable(listed: Sequence[Report], metric: str) -> list[Report]:
    """Return the ranked reports that have the metric, on the same rows as the first."""
    return [
        report
        for report in listed
        if value_of(report, "cross_fitted", metric) is not None
        and report.get("rows") == listed[0].get("rows")
    ]


def _contenders(store: Store, reports: Sequence[Report], metric: str) -> list[Contender]:
    draws = score_draws(store, reports, metric)
    sign = 1 if METRICS[metric].higher_is_better else -1
    return [
        Contender(
            report["name"],
            sign * report["cross_fitted"][metric]["value"],
            draws.get(report["name"]),
            (report["latency_ms"]["median"], report["size_mb"]),
            _vote_of(report, reports),
        )
        for report in reports
    ]


def _vote_of(report: Report, reports: Sequence[Report]) -> str:
    """Return the name of the vote of all members of a cascade, or an empty text."""
    if "conditional" not in report or not report.get("members"):
        return ""
    return next((each["name"] for each in reports if _is_vote(each, report["members"])), "")


def _is_vote(report: Report, members: Sequence[Any]) -> bool:
    return report.get("method") == "soft_voting" and {*members} <= {*report["members"]}
