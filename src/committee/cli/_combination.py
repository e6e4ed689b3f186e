"""Tables and sentences about combined predictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from committee.base.text import count
from committee.cli._output import print_table, print_text

if TYPE_CHECKING:
    from committee.pipeline.combine import Combination, Combined
    from committee.scoring.gains import Gain

Column = Callable[["Combined"], str]


def print_combination(found: Combination, wide: bool) -> None:
    """Print the methods, best first, the members alone, the weights of the best method, and its gain."""
    from committee.report.text import OVER_CALIBRATED, is_over_calibrated

    rows, metric = found.predictions, found.metric
    sizes = count(len(rows), "sample"), f"{len(rows.class_names)} classes", count(len(rows.members), "member")
    change = found.best.calibration
    calibrated = "" if change is None else f", calibrated ({change['method']})"
    columns = _wide(found) if wide else _narrow(found)
    print_table(
        f"{', '.join(sizes)}: cross-fitted scores with 95% intervals{calibrated}, best {metric} first",
        list(columns),
        [[column(each) for column in columns.values()] for each in found.methods],
    )
    if not wide and any(is_over_calibrated(vars(_gain(each, metric))) for each in found.methods):
        print_text(OVER_CALIBRATED)
    shown = _shown(metric)
    alone = [[name, *(f"{scores[each]:.4f}" for each in shown)] for name, scores in found.alone.items()]
    print_table("\nEach member alone", ["member", *shown], alone)
    weights = found.best.combiner.member_weights() or {}
    listed = [f"{name} {weight:.3f}" for name, weight in sorted(weights.items(), key=lambda each: -each[1])]
    if listed:
        print_text(f"\nWeights of {found.best.method}: {', '.join(listed)}")
    print_text(f"\n{_conclusion(found)}")


def _shown(metric: str) -> list[str]:
    """Return the metrics of a table: the one that ranks, and those that every reader expects."""
    return list(dict.fromkeys((metric, "accuracy", "log_loss", "ece")))


def _narrow(found: Combination) -> dict[str, Column]:
    from committee.report.text import gain_in_words, short_interval

    def value(name: str) -> Column:
        return lambda each: f"{each.scores.cross_fitted[name].value:.4f}"

    metric = found.metric
    return {
        "method": lambda each: each.method,
        metric: lambda each: short_interval(vars(each.scores.cross_fitted[metric])),
        _gain_heading(found): lambda each: gain_in_words(vars(_gain(each, metric))),
        **{name: value(name) for name in _shown(metric) if name != metric},
    }


def _wide(found: Combination) -> dict[str, Column]:
    from committee.pipeline.shared.summary import interval

    def scores(name: str) -> Column:
        return lambda each: interval(vars(each.scores.cross_fitted[name]))

    metric = found.metric
    return {
        "method": lambda each: each.method,
        **{name: scores(name) for name in _shown(metric)},
        f"{metric} of the fit": lambda each: f"{each.scores.fit[metric]:.4f}",
        _gain_heading(found): lambda each: _gain(each, metric).text,
        "compared with": lambda each: _gain(each, metric).against,
    }


def _gain_heading(found: Combination) -> str:
    metric = _gain(found.best, found.metric).metric
    return f"{'' if metric == found.metric else f'{metric} '}gain over best single member"


def _gain(each: Combined, metric: str) -> Gain:
    """Return the gain in the metric, or in the log-loss if gains in the metric are not tested."""
    return each.scores.gain.get(metric, each.scores.gain["log_loss"])


def _conclusion(found: Combination) -> str:
    """Return by how much the best method is better than the best single member."""
    gain, name = _gain(found.best, found.metric), found.best.method
    subject = f"The best method, {name}," if len(found.methods) > 1 else name
    if not gain.proven:
        return f"{subject} has no proven gain over the {gain.against}."
    return f"{subject} is better than the {gain.against}: {gain.text}."
