"""Scores of compared models in words and in tables, by their metric."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from committee.base.text import significant
from committee.metrics.metric import Metric
from committee.pipeline.shared.summary import interval

Score = Mapping[str, float]
NAMES = {"log_loss": "log-loss", "ece": "ECE", "rmse": "RMSE", "mae": "MAE", "r2": "R2"}


def name_of(metric: str) -> str:
    """Return what a metric is called in texts."""
    return NAMES.get(metric, metric)


def value_in_words(metric: Metric, score: Score) -> str:
    """Return `an accuracy of 0.9123 [0.8951, 0.9302]`; with four significant digits if it has a unit."""
    article = "a" if metric.name == "log_loss" else "an"
    text = interval(score)
    if metric.has_unit:
        value, low, high = (significant(score[key], 4) for key in ("value", "low", "high"))
        text = f"{value} [{low}, {high}]"
    return f"{article} {name_of(metric.name)} of {text}"


def changes_in_words(metrics: Iterable[Metric], difference: Mapping[str, Score]) -> str:
    """Return differences with their intervals: `+1.20 points of accuracy [...] and -0.01 in log-loss [...]`.

    Examples
    --------
    >>> from committee.pipeline.comparing.words import changes_in_words
    >>> from committee.tasks import Regression
    >>> change = {"rmse": {"value": -0.0123456, "low": -0.02, "high": 0.0}}
    >>> changes_in_words([Regression().metric("rmse")], change)
    '-0.01235 in RMSE [-0.02000, 0]'
    """
    return " and ".join(_change(metric, difference[metric.name]) for metric in metrics)


def _change(metric: Metric, score: Score) -> str:
    keys = ("value", "low", "high")
    if metric.in_points:
        value, low, high = (f"{100 * score[key]:+.2f}" for key in keys)
        return f"{value} points of {metric.name} [{low}, {high}]"
    value, low, high = (_signed(score[key]) if metric.has_unit else f"{score[key]:+.4f}" for key in keys)
    return f"{value} in {name_of(metric.name)} [{low}, {high}]"


def _signed(value: float) -> str:
    return f"{'+' if value > 0 else ''}{significant(value, 4)}"


def short(metric: Metric, score: Score | None, ends: bool = False) -> str:
    """Return the value of a cell of a table, with its interval if `ends`; empty without a score."""
    if score is None:
        return ""
    if metric.has_unit:
        value, low, high = (significant(score[key], 4) for key in ("value", "low", "high"))
        return f"{value} [{low}, {high}]" if ends else value
    around = f" [{score['low']:.3f}, {score['high']:.3f}]" if ends else ""
    return f"{score['value']:.4f}{around}"
