"""Keys that a recipe sets without an effect."""

import logging

import pytest

from committee.pipeline.run import _warn_of_unused, wanted
from committee.recipe.load import load_recipe
from committee.recipe.starter import starter
from committee.recipe.unused import unused


@pytest.mark.parametrize(
    ("setting", "other", "key", "why"),
    [
        (
            "runs.score_ensemble={methods: [soft_voting], space: logit}",
            "runs.score_ensemble={methods: [soft_voting, weighted], space: logit}",
            "runs.score_ensemble.space",
            "none of soft_voting uses it",
        ),
        (
            "runs.stacking={mlp_config: {epochs: 3}}",
            "runs.stacking={meta_learners: [lr, mlp], mlp_config: {epochs: 3}}",
            "runs.stacking.mlp_config",
            "mlp is not chosen",
        ),
        (
            "runs.meta_fuser={fuser_type: rf, xgb_config: {max_depth: 3}}",
            "runs.meta_fuser={fuser_type: xgb, xgb_config: {max_depth: 3}}",
            "runs.meta_fuser.xgb_config",
            "xgb is not chosen",
        ),
        (
            "pruning={floor: 0.9}",
            "pruning={floor: 0.9, methods: [diversity_max]}",
            "pruning.floor",
            "none of greedy_forward uses it",
        ),
    ],
)
def test_what_nothing_uses_is_named_with_the_reason(setting, other, key, why, caplog):
    recipe = load_recipe(None, [setting])
    assert unused(recipe) == {key: why} and unused(load_recipe(None, [other])) == {}
    with caplog.at_level(logging.WARNING, "committee"):
        _warn_of_unused(wanted(recipe), recipe)
    assert f"{key} has no effect: {why}" in caplog.text


def test_the_defaults_set_nothing():
    assert unused(load_recipe(None, ["runs.stacking={}", "runs.meta_fuser={}", "pruning={}"])) == {}


def test_a_starter_recipe_which_has_all_defaults_sets_nothing_without_effect(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(starter(), encoding="utf-8")
    assert unused(load_recipe(path)) == {}
