"""The file to deploy within a budget, in words: what it costs, and what is given up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from committee.pipeline.comparing.row import Row
from committee.pipeline.shared.reports import DEFAULT_METRIC, value_of
from committee.pipeline.shared.summary import interval
from committee.pipeline.shared.winner import winner
from committee.store.layout import Store

LATENCY, SIZE, ACCURACY = "latency", "size", "accuracy"


@dataclass(frozen=True)
class Budget:
    """The limits of what is deployed; None is no limit.

    Attributes
    ----------
    max_latency_ms : float or None
        Largest median latency for one image per call, in milliseconds.
    max_size_mb : float or None
        Largest size of the file, in MB.
    min_accuracy : float or None
        Smallest cross-fitted accuracy.
    """

    max_latency_ms: float | None = None
    max_size_mb: float | None = None
    min_accuracy: float | None = None

    def exceeded(self, row: Row) -> list[str]:
        """Return which limits a file does not meet: `latency`, `size`, `accuracy`."""
        accuracy = value_of(row.report, "cross_fitted", "accuracy")
        checks = {
            LATENCY: self.max_latency_ms is not None and row.latency_ms > self.max_latency_ms,
            SIZE: self.max_size_mb is not None and row.size_mb > self.max_size_mb,
            ACCURACY: self.min_accuracy is not None and (accuracy is None or accuracy < self.min_accuracy),
        }
        return [name for name, is_exceeded in checks.items() if is_exceeded]

    def excess(self, row: Row) -> float:
        """Return the largest ratio of a figure to its limit; for the accuracy, of the limit to it."""
        accuracy = value_of(row.report, "cross_fitted", "accuracy") or 1e-9
        ratios = [
            row.latency_ms / self.max_latency_ms if self.max_latency_ms else 0.0,
            row.size_mb / self.max_size_mb if self.max_size_mb else 0.0,
            self.min_accuracy / accuracy if self.min_accuracy else 0.0,
        ]
        return max(ratios)

    def __str__(self) -> str:
        limits = [
            f"{self.max_latency_ms:g} ms" if self.max_latency_ms is not None else "",
            f"{self.max_size_mb:g} MB" if self.max_size_mb is not None else "",
            f"accuracy {self.min_accuracy:g}" if self.min_accuracy is not None else "",
        ]
        return ", ".join(filter(None, limits))


@dataclass(frozen=True)
class Advice:
    """The file to deploy.

    Attributes
    ----------
    row : Row or None
        The compared file; None if none is within the budget.
    text : str
        Sentences with its figures, and those of what it is compared with.
    """

    row: Row | None
    text: str


def advise(store: Store, rows: Sequence[Row], budget: Budget, split: str) -> Advice:
    """Return the file to deploy, and the reason.

    Models are chosen by their cross-fitted log-loss: the fastest of those that cannot be told from the best
    one. A file of lower precision is taken only if no exact file is within the budget. The test split selects
    nothing.

    Parameters
    ----------
    store : Store
    rows : sequence of Row
        One or more.
    budget : Budget
    split : str
        The rows of the scores, in words.
    """
    within = [row for row in rows if not budget.exceeded(row)]
    chosen = _winner(store, [row for row in within if row.is_exact]) or _winner(store, within)
    if chosen is None:
        return Advice(None, _none_within(rows, budget))
    best = _winner(store, [row for row in rows if row.is_exact]) or chosen
    single = next((row for row in rows if row.kind == "single" and row.is_exact), None)
    limits = f" within the budget ({budget})" if str(budget) else ""
    parts = [
        f"Deploy {chosen.file.as_posix()}: {chosen.key}, the best choice{limits}. "
        f"{figures(chosen)}, {_scores(chosen, split)}.",
        _given_up(chosen, best),
        _gained(chosen, single) if single is not None and single is not chosen else "",
        "" if chosen.is_exact else "No exact file is within the budget.",
        "" if chosen.is_steady else "Its latency varies between rounds: measure again on an idle machine.",
    ]
    return Advice(chosen, " ".join(filter(None, parts)))


def figures(row: Row) -> str:
    """Return the costs of a file in words."""
    one = row.served.latency["1"]
    memory = row.served.memory.get("1")
    text = f"It takes {one.median:.2f} ms for an image (95% of the calls take at most {one.p95:.2f} ms)"
    return text + (f", {memory:.0f} MB of memory" if memory else "") + f" and {row.size_mb:.2f} MB on disk"


def _winner(store: Store, rows: Sequence[Row]) -> Row | None:
    """Return the row of the winner of the ranking, with the measured costs of the files."""
    reports = [
        {**row.report, "latency_ms": {"median": row.latency_ms}, "size_mb": row.size_mb} for row in rows
    ]
    found = winner(store, _distinct(reports), DEFAULT_METRIC)
    if found is None:
        return None
    same = [row for row in rows if row.report["name"] == found[0]["name"]]
    return min(same, key=lambda row: row.latency_ms)


def _distinct(reports: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one report for each model: that of its fastest file."""
    ordered = sorted(reports, key=lambda report: -report["latency_ms"]["median"])
    return list({report["name"]: report for report in ordered}.values())


def _scores(row: Row, split: str) -> str:
    shown = [f"{metric} {interval(row.scores[metric])}" for metric in ("accuracy", "log_loss")]
    return f"and has {' and '.join(shown)} on {split}"


def _given_up(chosen: Row, best: Row) -> str:
    if best.report["name"] == chosen.report["name"]:
        return "No other compared model is better in cross-fitted log-loss by more than noise."
    difference = chosen.differences.get(best.key)
    lost = f": {_in_words(difference)}" if difference else ""
    return f"Given up against {best.key}, the best model without a budget{lost}. {_costs(best)}"


def _gained(chosen: Row, single: Row) -> str:
    difference = chosen.differences.get(single.key)
    return f"Against {single.key}, the best single network: {_in_words(difference)}." if difference else ""


def _in_words(difference: Mapping[str, Mapping[str, float]]) -> str:
    points = {key: 100 * value for key, value in difference["accuracy"].items()}
    loss = difference["log_loss"]
    return (
        f"{points['value']:+.2f} points of accuracy [{points['low']:+.2f}, {points['high']:+.2f}] and "
        f"{loss['value']:+.4f} in log-loss [{loss['low']:+.4f}, {loss['high']:+.4f}]"
    )


def _costs(row: Row) -> str:
    return f"{row.key} takes {row.latency_ms:.2f} ms for an image and {row.size_mb:.2f} MB."


def _none_within(rows: Sequence[Row], budget: Budget) -> str:
    nearest = min(rows, key=budget.excess)
    exceeded = " and ".join(budget.exceeded(nearest))
    accuracy = value_of(nearest.report, "cross_fitted", "accuracy")
    known = f", with a cross-fitted accuracy of {accuracy:.4f}" if accuracy is not None else ""
    return (
        f"No compared model is within the budget ({budget}). The nearest is {nearest.key}, which exceeds it "
        f"in {exceeded}: {nearest.file.as_posix()} takes {nearest.latency_ms:.2f} ms for an image and "
        f"{nearest.size_mb:.2f} MB{known}."
    )
