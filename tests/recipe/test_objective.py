"""The metrics that weights and selections optimize, in a recipe."""

from __future__ import annotations

import sys

import pytest

from committee.errors import RecipeError
from committee.recipe.load import load_recipe

KEYS = ("runs.score_ensemble.optimization_metric", "pruning.metric")


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "metric", ["brier", "auroc", "balanced_accuracy", "python:not_there.f", "python:a.b:f"]
)
def test_names_and_functions_which_are_not_imported(key: str, metric: str) -> None:
    recipe = load_recipe(None, [f"{key}={metric}"])
    found = recipe.runs.score_ensemble.optimization_metric, recipe.pruning and recipe.pruning.metric
    assert metric in found and "not_there" not in sys.modules


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    ("metric", "todo"), [("acuracy", " Did you mean 'accuracy'?"), ("python:f", ""), ("ece", "")]
)
def test_other_names_are_refused(key: str, metric: str, todo: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(None, [f"{key}={metric}"])
    expected = (
        f"{key}: expected one of log_loss, brier, accuracy, balanced_accuracy, f1_macro, auroc, "
        f"mean_iou, mean_dice, rmse, mae, r2, or python:module.function, got '{metric}'.{todo}"
    )
    assert expected in str(caught.value)
