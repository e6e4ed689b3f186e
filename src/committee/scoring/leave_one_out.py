"""Leave-one-out contributions: the change of the cross-fitted metric without each member."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from committee.base.objectives import AUTO
from committee.base.progress import track
from committee.combiners.base import Combiner, build
from committee.combiners.shared.calibrator import OutputCalibrator
from committee.predictions.table import Predictions
from committee.scoring.scores import Folds, LogProbs, cross_fit, folds_of
from committee.tasks.base import task_of

Spec = dict[str, Any]
_PARTS = ("members", "weights", "inner", "fallback", "inputs")
"""Options of combiners that name members, or that are combiners of members."""


def contributions(
    combiner: Combiner,
    predictions: Predictions,
    metric: str = AUTO,
    *,
    folds: Folds | None = None,
    seed: int = 0,
    held_out: LogProbs | None = None,
) -> dict[str, float]:
    """Return how much worse the cross-fitted metric gets without each member.

    A negative contribution means that the metric improves without the member. A member is not in the result
    if the combiner would have nothing left to combine without it.

    Parameters
    ----------
    combiner : Combiner
        It is cloned and not changed.
    predictions : Predictions
        Labeled rows that no member was trained on.
    metric : str
        A metric of the task; by default, its first objective.
    folds : int64 array [N], optional
        Fold of each row; by default as in `committee.scoring.cross_fit`.
    seed : int
        Seed of folds that are drawn.
    held_out : float32 array [N, C], optional
        The cross-fitted log-probabilities of the combiner of all members on the same folds, such as those of
        `committee.scoring.Scores`; computed by default.

    See Also
    --------
    contribution_seconds : About how long this takes; each member costs as much as a cross-fit.

    Examples
    --------
    >>> from committee.combiners import SoftVoting
    >>> from committee.predictions import simulate
    >>> from committee.scoring import contributions
    >>> found = contributions(SoftVoting(), simulate({"a": 3.0, "b": 1.0}, rows=200))
    >>> found["a"] > found["b"]
    True
    """
    labels = predictions.require_labels("contributions")
    folds = folds_of(predictions, folds, seed)
    task = task_of(predictions)
    metric = task.objectives[0] if metric == AUTO else metric

    def value(outputs: LogProbs) -> float:
        return task.metric(metric).sign * task.evaluate(outputs, labels, [metric])[metric]

    whole = value(cross_fit(combiner, predictions, folds=folds) if held_out is None else held_out)
    result: dict[str, float] = {}
    for member in track(predictions.members, what="contributions", name=str):
        smaller = without(combiner, member, predictions.members)
        if smaller is not None:
            rest = [name for name in predictions.members if name != member]
            result[member] = whole - value(cross_fit(_on(rest, smaller), predictions, folds=folds))
    return result


def contribution_seconds(combiner: Combiner, predictions: Predictions, folds: int = 5) -> float:
    """Return about how many seconds `contributions` takes, with that number of folds.

    Examples
    --------
    >>> from committee.combiners import SoftVoting
    >>> from committee.predictions import simulate
    >>> from committee.scoring import contribution_seconds
    >>> contribution_seconds(SoftVoting(), simulate({"a": 2.0, "b": 2.0}, rows=200)) < 1
    True
    """
    members, rows, classes = predictions.logits.shape
    fits = members * (folds if combiner.learns else 1)
    return fits * combiner.seconds(max(1, members - 1), rows, classes)


def without(combiner: Combiner, member: str, members: Sequence[str]) -> Combiner | None:
    """Return an unfitted combiner for all members but one, or None if it would have nothing to combine.

    The member is also removed from given weights and named subsets, in nested combiners too.
    """
    if list(members) == [member]:
        return None
    spec = _without({"combiner": combiner.key, **combiner.options()}, member, list(members).index(member))
    return None if spec is None else build(spec)


def _on(members: Sequence[str], rule: Combiner) -> Combiner:
    """Return a rule of some of the members; the calibration of an output stays outside, to share its fits."""
    if isinstance(rule, OutputCalibrator):
        return build({"combiner": rule.key, **rule.options(), "inner": _on(members, rule.inner)})
    return build({"combiner": "subset", "members": list(members), "inner": rule})


def _without(spec: Spec, member: str, place: int) -> Spec | None:
    result = dict(spec)
    if spec.get("members"):
        if member not in spec["members"]:
            return result
        place = spec["members"].index(member)
        result["members"] = [name for name in spec["members"] if name != member]
    if spec.get("weights") is not None:
        result["weights"] = _drop(spec["weights"], member, place)
    for key in ("inner", "fallback"):
        if key in spec:
            result[key] = _without(spec[key], member, place)
    if "inputs" in spec:
        parts = {name: _without(part, member, place) for name, part in spec["inputs"].items()}
        result["inputs"] = parts if None not in parts.values() else None
    emptied = any(spec.get(key) and not result[key] for key in _PARTS)
    return None if emptied else result


def _drop(weights: Any, member: str, place: int) -> Any:
    """Return the weights without a member, or None if no other member has weight."""
    if isinstance(weights, Mapping):
        rest: Any = {name: weight for name, weight in weights.items() if name != member}
        return rest if any(rest.values()) else None
    rest = [*weights[:place], *weights[place + 1 :]]
    return rest if any(rest) else None
