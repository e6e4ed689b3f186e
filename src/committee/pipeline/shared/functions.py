"""Metrics that are functions of the user: only those that the recipe names are imported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from committee.base.objectives import is_custom
from committee.errors import StoreError, first_five
from committee.recipe.model import Recipe


def check_functions(method: Any, recipe: Recipe, name: str) -> None:
    """Raise a StoreError if a stored method, which is fitted again, names a function that is not trusted.

    A store may come from elsewhere, and importing a module runs it.
    """
    unknown = sorted(set(_functions(method)) - set(_functions(recipe.model_dump())))
    if unknown:
        raise StoreError(
            name,
            expected="metrics that the recipe names",
            got=first_five(unknown),
            todo="Name it in the recipe too, as runs.score_ensemble.optimization_metric or in a method.",
        )


def _functions(value: Any) -> Iterator[str]:
    """Yield all metrics `python:module.function` in mappings and lists."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if str(key).endswith("metric") and isinstance(inner, str) and is_custom(inner):
                yield inner
            yield from _functions(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _functions(inner)
