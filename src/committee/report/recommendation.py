"""The model to use, and the reason, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from committee.base.text import two_digits
from committee.metrics.named import METRICS
from committee.pipeline.shared.best import is_ensemble, is_of_one, is_single, is_within, proven_gains
from committee.pipeline.shared.reports import Report, read_reports, value_of
from committee.pipeline.shared.winner import order, winner
from committee.recipe.model import CostBudget
from committee.report.leaderboard import metric_for
from committee.report.text import costs, score
from committee.store.layout import Store


@dataclass(frozen=True)
class Recommendation:
    """A model of a store to use.

    Attributes
    ----------
    name : str or None
        The member or ensemble; None if no evaluated model is within the budget.
    text : str
        Sentences that name the model, its score and costs, and by how much it is better than the best single
        member.
    """

    name: str | None
    text: str


def recommend(
    store: Store, metric: str | None = None, budget: CostBudget | None = None
) -> Recommendation | None:
    """Return the model to use, or None if no model has a cross-fitted score.

    It is the winner of the models within the budget whose gain over the best single member is proven: the
    fastest of those whose score cannot be told from the best one (`committee.scoring.choice.choose`). A
    derived member, whose gain is that over its own sources, is no winner if a single member is better.
    Without a proven gain, it is the best single member, unless that is clearly worse than a combination and
    the gain is measured against a member outside the budget. An ensemble that uses one member is not
    considered.

    Parameters
    ----------
    store : Store
        A store with evaluated models.
    metric : str, optional
        Key of the metric that ranks the models; by default that of the task of the store.
    budget : CostBudget, optional
        Models whose measured latency or size exceeds it are not considered.

    Raises
    ------
    UnknownNameError
        There is no such metric.
    """
    reports = read_reports(store)
    metric = metric_for(metric, reports)
    listed = [each for each in order(store, reports, metric) if not is_of_one(each)]
    ranked = [each for each in listed if value_of(each, "cross_fitted", metric) is not None]
    # Scores on out-of-fold rows cannot be compared with scores on the val split.
    ranked = [each for each in ranked if each.get("rows") == ranked[0].get("rows")]
    return _choose(store, ranked, _Terms(metric, budget)) if ranked else None


@dataclass(frozen=True)
class _Terms:
    """The metric and the budget of a choice, and sentences about reports in these terms."""

    metric: str
    budget: CostBudget | None

    @property
    def within_budget(self) -> str:
        """Return ` within the budget (20 ms, 100 MB)`, or an empty text without a budget."""
        limits = (
            []
            if self.budget is None
            else [(self.budget.max_latency_ms, "ms"), (self.budget.max_size_mb, "MB")]
        )
        shown = ", ".join(f"{limit:g} {unit}" for limit, unit in limits if limit is not None)
        return f" within the budget ({shown})" if shown else ""

    def score(self, report: Report) -> Any:
        """Return value and bounds of the cross-fitted metric."""
        return report["cross_fitted"][self.metric]

    def text(self, report: Report) -> str:
        """Return the cross-fitted metric with its interval."""
        return score(self.metric, self.score(report))

    def is_clearly_better(self, report: Report, other: Report) -> bool:
        """Return whether the interval of a score is better than that of another, without overlap."""
        score, bound = self.score(report), self.score(other)
        if METRICS[self.metric].higher_is_better:
            return bool(score["low"] > bound["high"])
        return bool(score["high"] < bound["low"])

    def is_against(self, report: Report, single: Report) -> bool:
        """Return whether the gain of a report is that over a given single member."""
        gain = report.get("gain", {}).get(self.metric)
        return gain is not None and gain["against"].endswith(f"({single['name']})")

    def figures(self, report: Report) -> str:
        """Return the score with its interval, and the costs."""
        return f"{self.metric} {self.text(report)} cross-fitted, {costs(report)}"


def _choose(store: Store, ranked: Sequence[Report], terms: _Terms) -> Recommendation:
    """Return the choice among comparable reports, best first."""
    within = [report for report in ranked if is_within(report, terms.budget)]
    if not within:
        return _none_within(ranked, terms)
    proven = winner(store, proven_gains(within, terms.metric), terms.metric)
    if proven is not None:
        return _better(*proven, terms)
    single, first = next(filter(is_single, within), None), within[0]
    if single is None or (
        first is not single and terms.is_clearly_better(first, single) and not terms.is_against(first, single)
    ):
        return _best_within(first, single, terms)
    return _single(single, next(filter(is_ensemble, within), None), terms)


def _none_within(ranked: Sequence[Report], terms: _Terms) -> Recommendation:
    fastest = min(ranked, key=lambda report: report["latency_ms"]["median"])
    smallest = min(ranked, key=lambda report: report["size_mb"])
    listed = [f"The fastest, {fastest['name']}, takes {costs(fastest)}."]
    if smallest is not fastest:
        listed.append(f"The smallest, {smallest['name']}, takes {costs(smallest)}.")
    return Recommendation(None, f"No model is{terms.within_budget}. {' '.join(listed)}")


def _better(report: Report, best: Report, terms: _Terms) -> Recommendation:
    """Recommend a model with a proven gain; `best` is the one with the best score."""
    gain = report["gain"][terms.metric]
    text = (
        f"Use {report['name']}{_best(terms)}: {terms.figures(report)}. It is better than the "
        f"{gain['against']} by {score(terms.metric, gain)}."
    )
    if best is not report:
        text += (
            f" Its score is within noise of the best one, {terms.text(best)} of {best['name']}, "
            f"which takes {costs(best)}."
        )
    return Recommendation(report["name"], text)


def _best(terms: _Terms) -> str:
    return f", the best model{terms.within_budget}" if terms.within_budget else ""


def _best_within(report: Report, single: Report | None, terms: _Terms) -> Recommendation:
    """Recommend a model that has no proven gain over the best single member.

    That one exceeds the budget.
    """
    reason = "No single member is within the budget."
    within = " within the budget" if terms.within_budget else ""
    if single is not None:
        difference = two_digits(abs(terms.score(report)["value"] - terms.score(single)["value"]))
        reason = (
            f"It is better than {single['name']}, the best single member{within}, by "
            f"{difference}: their intervals do not overlap."
        )
    if gain := report.get("gain", {}).get(terms.metric):
        reason += f" It has no proven gain over the {gain['against']}."
    return Recommendation(
        report["name"], f"Use {report['name']}{_best(terms)}: {terms.figures(report)}. {reason}"
    )


def _single(single: Report, other: Report | None, terms: _Terms) -> Recommendation:
    """Recommend a single member; `other` is the best model that combines several."""
    text = f"Use {single['name']}, the best single member{terms.within_budget}: {terms.figures(single)}."
    if other is not None:
        known = terms.metric in other.get("gain", {})
        text += (
            (
                " No combination has a proven gain over it."
                if known
                else f" Gains of combinations are not evaluated for {terms.metric}."
            )
            + f" The best of them, {other['name']}, has "
            f"{terms.metric} {terms.text(other)} and takes {costs(other)}."
        )
    return Recommendation(single["name"], text)
