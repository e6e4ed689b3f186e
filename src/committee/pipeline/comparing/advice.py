"""The file to deploy within a budget, in words: what it costs, and what is given up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from committee.base.text import significant
from committee.metrics.metric import Metric
from committee.pipeline.comparing.row import Row
from committee.pipeline.comparing.words import changes_in_words, name_of, value_in_words
from committee.pipeline.shared.held_out import loss_of
from committee.pipeline.shared.reports import score_draws
from committee.scoring.choice import PROVEN, Contender, choose
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
        accuracy = row.held_out(row.guarded)
        checks = {
            LATENCY: self.max_latency_ms is not None and row.latency_ms > self.max_latency_ms,
            SIZE: self.max_size_mb is not None and row.size_mb > self.max_size_mb,
            ACCURACY: self.min_accuracy is not None and (accuracy is None or accuracy < self.min_accuracy),
        }
        return [name for name, is_exceeded in checks.items() if is_exceeded]

    def excess(self, row: Row) -> float:
        """Return the largest ratio of a figure to its limit; for the accuracy, of the limit to it."""
        accuracy = row.held_out(row.guarded) or 1e-9
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

    Files are chosen by the cross-fitted log-loss of their models (of numbers, the root mean squared error),
    with what a file of lower precision loses on held-out rows: the fastest of those that cannot be told from
    the best one. A file whose loss is not measured there is taken only if no other is within the budget. The
    test split selects nothing.

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
    chosen = _winner(store, [row for row in within if row.is_known]) or _winner(store, within)
    if chosen is None:
        return Advice(None, _none_within(rows, budget))
    best = _winner(store, [row for row in rows if row.is_known]) or chosen
    single = next((row for row in rows if row.kind == "single" and row.is_exact), None)
    limits = f" within the budget ({budget})" if str(budget) else ""
    parts = [
        f"Deploy {chosen.file.as_posix()}: {chosen.key}, the best choice{limits}. "
        f"{figures(chosen)}, {_scores(chosen, split)}.",
        _given_up(chosen, best),
        _gained(chosen, single) if single is not None and single is not chosen else "",
        _lost(chosen),
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
    """Return the fastest of the files whose held-out score cannot be told from the best one."""
    scored = [row for row in rows if row.held_out(row.objective) is not None]
    comparable = [row for row in scored if row.report.get("rows") == scored[0].report.get("rows")]
    if not comparable:
        return rows[0] if rows else None
    metric = comparable[0].objective
    draws = score_draws(store, [row.report for row in comparable], metric.name)
    contenders = [
        Contender(
            row.key,
            metric.sign * (row.held_out(metric) or 0.0),
            _draws(row, draws.get(row.report["name"])),
            (row.latency_ms, row.size_mb),
        )
        for row in comparable
    ]
    name = choose(contenders)[0].name
    return next(row for row in comparable if row.key == name)


def _draws(row: Row, draws: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
    """Return draws of the score of a model, with the uncertainty of what a file loses."""
    if draws is None or row.lost is None:
        return draws
    lost = row.lost[f"{row.objective.name}_lost"]
    error = (lost["high"] - lost["low"]) / (2 * PROVEN)
    noise = np.random.default_rng(0).normal(scale=max(error, 0.0), size=len(draws))
    return (draws + noise).astype(np.float32)


def _lost(row: Row) -> str:
    if row.is_exact:
        return ""
    if row.lost is None:
        return (
            "No other file is within the budget; what this one loses on held-out rows is not known, "
            "committee compress measures it."
        )
    lost = loss_of(row.guarded, row.lost)
    value, low, high = (f"{100 * lost[key]:z.2f}" for key in ("value", "low", "high"))
    if row.guarded.in_points:
        what = f"it loses {value} points of {row.guarded.name} [{low}, {high}] to"
    else:
        what = f"its {name_of(row.guarded.name)} is {value}% larger [{low}%, {high}%] than that of"
    return f"On held-out rows {what} the file of full precision."


def _scores(row: Row, split: str) -> str:
    values = " and ".join(value_in_words(metric, row.scores[metric.name]) for metric in row.metrics)
    return f"and has {values} on {split}"


def _given_up(chosen: Row, best: Row) -> str:
    if best is chosen:
        what = name_of(best.objective.name)
        return f"No other compared model is better in cross-fitted {what} by more than noise."
    difference = chosen.differences.get(best.key)
    lost = f": {changes_in_words(chosen.metrics, difference)}" if difference else ""
    return f"Given up against {best.key}, the best model without a budget{lost}. {_costs(best)}"


def _gained(chosen: Row, single: Row) -> str:
    difference = chosen.differences.get(single.key)
    if not difference:
        return ""
    text = f"Against {single.key}, the best single network: {changes_in_words(chosen.metrics, difference)}."
    if any(_is_worse(metric, difference[metric.name]) for metric in chosen.metrics):
        text += (
            " Warning: it was chosen by its cross-fitted score, but it is worse on these rows by more than "
            "chance; look for the reason before you deploy it."
        )
    return text


def _is_worse(metric: Metric, difference: Mapping[str, float]) -> bool:
    return difference["high"] < 0 if metric.higher_is_better else difference["low"] > 0


def _costs(row: Row) -> str:
    return f"{row.key} takes {row.latency_ms:.2f} ms for an image and {row.size_mb:.2f} MB."


def _none_within(rows: Sequence[Row], budget: Budget) -> str:
    nearest = min(rows, key=budget.excess)
    exceeded = " and ".join(budget.exceeded(nearest))
    known, metric = "", nearest.guarded
    value = nearest.held_out(metric)
    if value is not None:
        text = significant(value, 4) if metric.has_unit else f"{value:.4f}"
        known = f", with a cross-fitted {name_of(metric.name)} of {text}"
    return (
        f"No compared model is within the budget ({budget}). The nearest is {nearest.key}, which exceeds it "
        f"in {exceeded}: {nearest.file.as_posix()} takes {nearest.latency_ms:.2f} ms for an image and "
        f"{nearest.size_mb:.2f} MB{known}."
    )
