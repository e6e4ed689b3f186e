"""A combiner without one of its members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from committee.combiners.base import Combiner, build

Spec = dict[str, Any]


def without(combiner: Combiner, member: str, members: Sequence[str]) -> Combiner | None:
    """Return an unfitted combiner for all members but one; None when it would have nothing to combine.

    Given weights and named subsets lose the member too, also in nested combiners.
    """
    if list(members) == [member]:
        return None
    spec = _without({"combiner": combiner.key, **combiner.options()}, member, list(members).index(member))
    return None if spec is None else build(spec)


def _without(spec: Spec, member: str, place: int) -> Spec | None:
    result = dict(spec)
    if spec.get("members"):
        if member not in spec["members"]:
            return result
        place = spec["members"].index(member)
        result["members"] = [name for name in spec["members"] if name != member]
    if spec.get("weights") is not None:
        result["weights"] = _drop(spec["weights"], member, place)
    if "inner" in spec:
        result["inner"] = _without(spec["inner"], member, place)
    if "inputs" in spec:
        parts = {name: _without(part, member, place) for name, part in spec["inputs"].items()}
        result["inputs"] = parts if None not in parts.values() else None
    emptied = any(spec.get(key) and not result[key] for key in ("members", "weights", "inner", "inputs"))
    return None if emptied else result


def _drop(weights: Any, member: str, place: int) -> Any:
    """Return weights without a member; None when the others weigh nothing."""
    if isinstance(weights, Mapping):
        rest: Any = {name: weight for name, weight in weights.items() if name != member}
        return rest if any(rest.values()) else None
    rest = [*weights[:place], *weights[place + 1 :]]
    return rest if any(rest) else None
