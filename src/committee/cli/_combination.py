"""Tables and sentences about combined predictions."""

from __future__ import annotations

from collections.abc import Callable
from math import isnan
from typing import TYPE_CHECKING, Any

from committee.base.text import count, significant
from committee.cli._output import print_table, print_text

if TYPE_CHECKING:
    from committee.metrics.sampling import Interval
    from committee.pipeline.combination import Combination, Combined
    from committee.scoring.gains import Gain

Column = Callable[["Combined"], str]
_GAIN = "gain over best single member"


def print_combination(found: Combination, wide: bool) -> None:
    """Print the methods, best first, the members alone, the weights of the best method, and its gain."""
    from committee.report.text import OVER_CALIBRATED, is_over_calibrated

    rows, metric = found.predictions, found.metric
    kind = rows.target_type.output if len(rows.class_names) == 1 else rows.target_type.outputs
    outputs = f"{len(rows.class_names)} {kind}"
    sizes = count(len(rows), "sample"), outputs, count(len(rows.members), "member")
    change = found.best.calibration
    calibrated = "" if change is None else f", calibrated ({change['method']})"
    columns = _wide(found) if wide else _narrow(found)
    print_table(
        f"{', '.join(sizes)}: cross-fitted scores with 95% intervals{calibrated}, best {metric} first",
        list(columns),
        [[column(each) for column in columns.values()] for each in found.methods],
    )
    if not wide and any(is_over_calibrated(_facts(each, metric)) for each in found.methods):
        print_text(OVER_CALIBRATED)
    absent = _absent_classes(found) if wide or metric == "auroc" else ""
    if absent:
        print_text(f"auroc is the mean over the other classes: no sample is of {absent}.")
    undefined = [name for name in found.task.brief if isnan(found.best.scores.cross_fitted[name].value)]
    if undefined:
        print_text(f"{', '.join(undefined)}: not defined on these rows, whose true values are all equal.")
    shown = _shown(found)
    alone = [[name, *(_number(scores[each], each) for each in shown)] for name, scores in found.alone.items()]
    print_table("\nEach member alone", ["member", *shown], alone)
    weights = found.best.combiner.member_weights() or {}
    listed = [f"{name} {weight:.3f}" for name, weight in sorted(weights.items(), key=lambda each: -each[1])]
    if listed:
        print_text(f"\nWeights of {found.best.method}: {', '.join(listed)}")
    print_text(f"\n{_conclusion(found)}")


def _absent_classes(found: Combination) -> str:
    """Return the classes that no sample has, if there is an area under a ROC curve of classes."""
    from committee.errors import first_five

    if "auroc" not in found.task.metrics:
        return ""
    present = set(found.predictions.require_labels("combine").tolist())
    return first_five(
        name for index, name in enumerate(found.predictions.class_names) if index not in present
    )


def _shown(found: Combination) -> list[str]:
    """Return the metrics of a table: the one that ranks, and those that every reader expects."""
    return list(dict.fromkeys((found.metric, *found.task.brief)))


def _number(value: float, metric: str, less: int = 0) -> str:
    """Return a value with 4 digits, `less` fewer for the ends of intervals; units decide where they begin."""
    from committee.metrics.named import get_metric

    digits = 4 - less
    return significant(value, digits) if get_metric(metric).has_unit else f"{value:z.{digits}f}"


def _interval(found: Interval, metric: str, less: int = 0) -> str:
    low, high = (_number(end, metric, less) for end in (found.low, found.high))
    return f"{_number(found.value, metric)} [{low}, {high}]"


def _narrow(found: Combination) -> dict[str, Column]:
    from committee.report.text import gain_in_words

    def value(name: str) -> Column:
        return lambda each: _number(each.scores.cross_fitted[name].value, name)

    metric = found.metric
    return {
        "method": lambda each: each.method,
        metric: lambda each: _interval(each.scores.cross_fitted[metric], metric, less=1),
        _GAIN: lambda each: gain_in_words(_facts(each, metric)),
        **{name: value(name) for name in _shown(found) if name != metric},
    }


def _wide(found: Combination) -> dict[str, Column]:
    from committee.report.text import NOT_EVALUATED

    def scores(name: str) -> Column:
        return lambda each: _interval(each.scores.cross_fitted[name], name)

    metric = found.metric
    return {
        "method": lambda each: each.method,
        **{name: scores(name) for name in _shown(found)},
        f"{metric} of the fit": lambda each: _number(each.scores.fit[metric], metric),
        _GAIN: lambda each: str((_facts(each, metric) or {"text": NOT_EVALUATED})["text"]),
        "compared with": lambda each: str((_facts(each, metric) or {"against": ""})["against"]),
    }


def _facts(each: Combined, metric: str) -> dict[str, Any] | None:
    """Return the gain of a method as JSON values, or None if it is not evaluated for the metric."""
    gain = each.scores.gain.get(metric)
    return None if gain is None else gain.to_json()


def _conclusion(found: Combination) -> str:
    """Return why the best method is chosen, and by how much it is better than the best single member."""
    gain, name = found.best.scores.gain.get(found.metric), found.best.method
    subject = f"The best method, {name}," if len(found.methods) > 1 else name
    return " ".join([_gain_in_words(subject, gain, found.metric), *_reason(found)])


def _gain_in_words(subject: str, gain: Gain | None, metric: str) -> str:
    if gain is None:
        return f"{subject} is not compared with the best single member: gains are not evaluated for {metric}."
    if not gain.proven:
        return f"{subject} has no proven gain over the {gain.against}."
    return f"{subject} is better than the {gain.against}: {gain.text}."


def _reason(found: Combination) -> list[str]:
    """Return a sentence if the best method does not have the best score."""
    first, best = found.methods[0], found.best
    if best is first:
        return []
    networks = count(len(best.combiner.restrict_to_used().member_names), "network")
    more = len(first.combiner.restrict_to_used().member_names)
    same = "as many networks" if networks == count(more, "network") else f"{networks} instead of {more}"
    return [f"Its {found.metric} is within noise of that of {first.method}, and it uses {same}."]
