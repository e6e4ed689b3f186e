"""Which predictions of test rows belong to which fitted member."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

from committee.errors import UsageError, first_five
from committee.predictions.table import Predictions
from committee.predictions.targets import renamed

log = logging.getLogger(__name__)


def same_members(test: Predictions, fitted: Predictions) -> Predictions:
    """Return test predictions with members and classes in the order of the fitted predictions."""
    if set(test.members) == set(fitted.members):
        test = test.select(fitted.members)
    elif len(test.members) == len(fitted.members) and not set(test.members) & set(fitted.members):
        test = replace(test, members=tuple(_counterparts(test.members, fitted.members)))
        test = test.select(fitted.members)
    else:
        raise UsageError(
            "--test",
            expected=f"the members {first_five(fitted.members)}",
            got=first_five(test.members),
            todo="Give one test file per member, with the same name or in the same order.",
        )
    return renamed(test, fitted.class_names).with_classes(fitted.class_names, of="that were fitted")


def _counterparts(test: Sequence[str], fitted: Sequence[str]) -> list[str]:
    """Return the fitted member for each test member: matched by the distinct part of the names, or by order.

    A shell lists `*_test.npz` alphabetically, so the order alone could assign files to the wrong members.
    """
    known = dict(zip(_distinct_parts(fitted), fitted, strict=True))
    by_name = [known.get(part) for part in _distinct_parts(test)]
    found = [name for name in by_name if name is not None]
    if {*found} == {*fitted}:
        return found
    pairs = ", ".join(f"{new} is {old}" for new, old in zip(test, fitted, strict=True))
    log.warning("The names of the test files do not match, so the files are matched by order: %s", pairs)
    return list(fitted)


def _distinct_parts(names: Sequence[str]) -> list[str]:
    """Return the names without their shared prefix and suffix: `a`, `b` for `a_test`, `b_test`."""
    rest = [name[_shared(names) :] for name in names]
    end = _shared([name[::-1] for name in rest])
    return [name[: len(name) - end] for name in rest]


def _shared(names: Sequence[str]) -> int:
    """Return the length of the prefix that all names share."""
    return sum(1 for _ in takewhile(lambda letters: len({*letters}) == 1, zip(*names, strict=False)))
