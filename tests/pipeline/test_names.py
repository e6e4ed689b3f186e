"""Names are checked before anything is trained."""

from __future__ import annotations

import pytest

from committee.errors import RecipeError
from committee.pipeline.names import derived_names, ensemble_names
from committee.recipe.load import load_recipe


def names(*overrides: str) -> list[str]:
    return ensemble_names(load_recipe(None, list(overrides)))


def test_all_stages_count() -> None:
    made = names("runs.meta_fuser={}", "pruning={}", "runs.stacking={meta_learners: [lr]}")
    assert made[-3:] == ["stacking_lr", "pruned_greedy_forward", "meta_fuser"]
    assert derived_names(load_recipe(None, ["runs.fusion={}", "runs.moe={}"])) == ["fusion_concat_mlp", "moe"]


@pytest.mark.parametrize(
    ("overrides", "twice"),
    [
        (["runs.meta_fuser={name: soft_voting_ensemble}"], "soft_voting_ensemble"),
        (["runs.meta_fuser={name: pruned_greedy_forward}", "pruning={}"], "pruned_greedy_forward"),
        (["runs.meta_fuser={name: moe}", "runs.moe={}"], "moe"),
        (["runs.meta_fuser={name: Test_ViT}", "backbones.include=[timm:test_vit]"], "Test_ViT"),
    ],
)
def test_a_name_that_is_taken(overrides: list[str], twice: str) -> None:
    said = f"recipe: expected a name of its own for each member and ensemble, got '{twice}' twice"
    with pytest.raises(RecipeError, match=said):
        names(*overrides)


def test_a_fuser_that_reads_itself() -> None:
    with pytest.raises(
        RecipeError, match="expected ensembles other than meta_fuser itself, got 'meta_fuser'"
    ):
        names("runs.meta_fuser={input_ensembles: [soft_voting, meta_fuser]}")
