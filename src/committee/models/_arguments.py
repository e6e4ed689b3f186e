"""Checks and defaults of the arguments of an ensemble."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from committee.combiners.base import Combiner, build
from committee.errors import DataError, UsageError, first_five
from committee.models.slugs import slugs
from committee.tasks.base import Task


def listed(members: Any) -> list[nn.Module]:
    """Return the members of an ensemble; raise UsageError unless they are modules, one after the other."""
    several = isinstance(members, Iterable) and not isinstance(members, Mapping | nn.Module)
    found = list(members) if several else []
    if not several or not all(isinstance(each, nn.Module) for each in found):
        kinds = [f"a {type(each).__name__}" for each in found if not isinstance(each, nn.Module)]
        raise UsageError(
            "ensemble",
            expected="a sequence of modules, its members",
            got=kinds[0] if kinds else f"a {type(members).__name__}",
            todo="Put a single module in a list: [module]." if isinstance(members, nn.Module) else "",
        )
    return found


def member_names(members: Sequence[nn.Module], names: Sequence[str] | None) -> list[str]:
    """Return the given names of the members or, by default, their own names with numbers for equal ones."""
    if not members:
        raise UsageError("ensemble", expected="at least one member", got="none")
    given = [str(getattr(member, "name", type(member).__name__)) for member in members]
    twice = next((n for n, m in zip(given, members, strict=True) if sum(m is o for o in members) > 1), None)
    if twice is not None:
        raise UsageError(
            "ensemble", expected="distinct members", got=f"'{twice}' twice", todo="Give it a larger weight."
        )
    if names is None:
        return slugs(given)
    if len(names) != len(members) or len(set(names)) != len(names):
        raise UsageError(
            "ensemble.names", expected=f"{len(members)} distinct names", got=first_five(names) or "none"
        )
    return list(names)


def bound_combiner(
    combiner: Combiner | str | Mapping[str, Any] | None,
    weights: Sequence[float] | Mapping[str, float] | None,
    names: Sequence[str],
    task: Task,
) -> Combiner:
    """Return the combiner, or one with the given weights, bound to the names and the task of the members."""
    if weights is not None:
        if combiner is not None:
            raise UsageError(
                "ensemble", expected="a combiner or weights", got="both", todo="Leave one of them out."
            )
        combiner = {"combiner": "weighted", "weights": weights}
    built = build(combiner or "soft_voting")
    if built.member_names and built.member_names != tuple(names):
        raise DataError(
            "ensemble",
            expected=f"the members that the combiner was fitted on, {first_five(built.member_names)}",
            got=first_five(names),
            todo="Give them these names, in this order.",
        )
    if built.state_dict() and built.member_names and built.task.key != task.key:
        raise DataError(
            "ensemble",
            expected=f"members with the task of the combiner, {built.task.key}",
            got=task.key,
            todo="Fit the combiner on predictions of these members.",
        )
    built.assign(task)
    return built if built.member_names else built.bind(names)


def check_same_classes(
    names: Sequence[str], classes: Sequence[Sequence[str]], chosen: Sequence[str], task: Task
) -> None:
    """Raise a DataError if a member has other classes, or other targets, than `chosen`."""
    outputs = task.target_type.outputs
    for name, own in zip(names, classes, strict=True):
        different = sorted(set(own) ^ set(chosen))
        if own and different:
            side = "with" if different[0] in own else "without"
            raise DataError(
                f"ensemble member '{name}'",
                expected=f"the {outputs} {first_five(chosen)}",
                got=f"{outputs} {side} '{different[0]}'",
                todo=f"Train the members on the same {outputs}.",
            )
