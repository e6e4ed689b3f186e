"""The list of the runs of a store, with what each of them changed."""

from __future__ import annotations

from collections.abc import Mapping

from committee.pipeline.shared.reports import Report, rank
from committee.pipeline.shared.run_record import RunRecord, read_runs
from committee.report.leaderboard import metric_for
from committee.report.text import score
from committee.store.layout import Store

COLUMNS = ("run", "command", "models", "changed", "best model", "score")


def runs_table(store: Store, metric: str | None = None) -> tuple[list[str], list[list[str]]]:
    """Return the columns and rows of the runs that changed evaluated models, newest first.

    Parameters
    ----------
    store : Store
    metric : str, optional
        The metric that ranks the models; by default that of their task.

    Raises
    ------
    UnknownNameError
        There is no such metric.
    """
    runs = read_runs(store)
    earlier: list[Mapping[str, Report]] = [*(each.models for each in runs[1:]), {}]
    return list(COLUMNS), [_row(each, before, metric) for each, before in zip(runs, earlier, strict=False)]


def _row(run: RunRecord, before: Mapping[str, Report], metric: str | None) -> list[str]:
    reports = [dict(each) for each in run.models.values()]
    metric = metric_for(metric, reports)
    first = next(iter(rank(reports, metric)), None)
    best = "" if first is None else str(first["name"])
    value = "" if first is None else f"{metric} {score(metric, first['cross_fitted'].get(metric))}"
    return [run.name, run.command, str(len(run.models)), _changed(run.models, before), best, value]


def _changed(now: Mapping[str, Report], before: Mapping[str, Report]) -> str:
    """Return how many models are new, were made again with other networks, or are gone."""
    again = [name for name in now if name in before and now[name]["source"] != before[name]["source"]]
    parts = {
        "new": len(now.keys() - before.keys()),
        "again": len(again),
        "gone": len(before.keys() - now.keys()),
    }
    found = [f"{number} {what}" for what, number in parts.items() if number]
    return ", ".join(found) or "scores only"
