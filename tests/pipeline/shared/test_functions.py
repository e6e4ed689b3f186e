"""A stored method that is fitted again imports only what the recipe names."""

from __future__ import annotations

from typing import Any

import pytest

from committee.errors import StoreError
from committee.pipeline.shared.functions import check_functions
from committee.recipe.load import load_recipe

METHOD: dict[str, Any] = {
    "combiner": "compose",
    "inputs": {"a": {"combiner": "weighted", "metric": "python:their.f"}, "b": "soft_voting"},
}


def test_functions_of_the_recipe_are_trusted() -> None:
    named = load_recipe(None, ["runs.score_ensemble.optimization_metric=python:their.f"])
    check_functions(METHOD, named, "stored")
    in_a_method = load_recipe(
        None, ["runs.score_ensemble.methods=[{combiner: weighted, metric: 'python:their.f'}]"]
    )
    check_functions(METHOD, in_a_method, "stored")
    with_numbers_as_keys = [
        "runs.score_ensemble.optimization_metric=python:their.f",
        "dataset.class_names={0: a, 255: b}",
    ]
    check_functions(METHOD, load_recipe(None, with_numbers_as_keys), "stored")
    check_functions({"combiner": "weighted", "metric": "brier"}, load_recipe(None, []), "stored")


def test_other_functions_are_refused() -> None:
    with pytest.raises(StoreError) as caught:
        check_functions(METHOD, load_recipe(None, []), "stored")
    assert str(caught.value) == (
        "stored: expected metrics that the recipe names, got 'python:their.f'. Name it in the recipe too, as "
        "runs.score_ensemble.optimization_metric or in a method."
    )
