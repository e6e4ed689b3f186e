"""Checks of arguments that are paths, names or sequences, where a public function receives them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from committee.errors import UsageError


def path_of(who: str, value: Any) -> Path:
    """Return a path; raise UsageError unless `value` is a path or a string.

    Examples
    --------
    >>> from committee.base.arguments import path_of
    >>> path_of("store", "results").as_posix()
    'results'
    """
    if not isinstance(value, str | os.PathLike):
        raise UsageError(who, expected="a path", got=_shown(value))
    return Path(value)


def name_of(who: str, value: Any) -> str:
    """Return a name; raise UsageError unless `value` is a string that is not blank.

    Examples
    --------
    >>> from committee.base.arguments import name_of
    >>> name_of("name", "resnet18")
    'resnet18'
    """
    if not isinstance(value, str) or not value.strip():
        raise UsageError(who, expected="a name", got=_shown(value))
    return value


def all_of(who: str, values: Any, kind: type | tuple[type, ...], what: str) -> list[Any]:
    """Return a list; raise UsageError unless `values` are one or more objects of a kind.

    Examples
    --------
    >>> from committee.base.arguments import all_of
    >>> all_of("folds", (1, 2), int, "whole numbers")
    [1, 2]
    """
    found = list(values) if isinstance(values, Iterable) and not isinstance(values, str | bytes) else None
    if found is None:
        raise UsageError(who, expected=f"a sequence of {what}", got=_shown(values))
    for each in found:
        if not isinstance(each, kind):
            raise UsageError(who, expected=what, got=_shown(each))
    return found


def _shown(value: Any) -> str:
    """Return a value in short: `None`, `''`, `1`, or its type."""
    is_short = value is None or isinstance(value, str | int | float)
    return repr(value)[:50] if is_short else f"a {type(value).__name__}"
