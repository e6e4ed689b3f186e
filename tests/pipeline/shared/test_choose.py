"""Choice of members, deployed networks and methods."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from committee.errors import RecipeError, StoreError, UnknownNameError
from committee.pipeline.shared.choose import (
    choose_deployed,
    choose_members,
    choose_methods,
    stacks,
)
from committee.pipeline.shared.records import failure_file
from committee.recipe.load import load_recipe
from committee.store.commit import write_json
from committee.store.layout import Store

ENTRIES = [
    {"name": "net_s1", "backbone": "timm:resnet18", "inference": "refit"},
    {"name": "net_s2", "backbone": "timm:resnet18", "inference": "folds"},
    {"name": "vit", "backbone": "timm:test_vit", "inference": "refit"},
]
STORE = Store(Path("shelf"))


@pytest.mark.parametrize(
    ("override", "chosen"),
    [
        ("seed=1", ["net_s1", "net_s2", "vit"]),
        ("backbones.exclude=[vit]", ["net_s1", "net_s2"]),
        ("backbones.exclude=[timm:resnet18]", ["vit"]),
        ("backbones.include=[resnet18]", ["net_s1", "net_s2"]),
        ("backbones.include=[net_s2, vit]", ["net_s2", "vit"]),
    ],
)
def test_a_name_is_that_of_a_member_or_of_its_backbone(override: str, chosen: list[str]) -> None:
    assert choose_members(load_recipe(None, [override]), ENTRIES, STORE) == chosen


@pytest.mark.parametrize("key", ["runs.members", "backbones.include"])
@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("resnet18", ["resnet18"]),
        ("timm:resnet18", ["resnet18", "adopted", "resnet18_s1"]),
        ("adopted", ["adopted"]),
    ],
)
def test_an_exact_name_means_this_member_alone(key: str, name: str, chosen: list[str]) -> None:
    names = ("resnet18", "adopted", "resnet18_s1")
    entries = [{"name": each, "backbone": "timm:resnet18"} for each in names]
    assert choose_members(load_recipe(None, [f"{key}=[{name}]"]), entries, STORE) == chosen


def test_a_member_that_the_store_lacks_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    recipe = load_recipe(None, ["backbones.include=[vit, resnet50]"])
    with caplog.at_level(logging.WARNING):
        assert choose_members(recipe, ENTRIES, STORE) == ["vit"]
    assert caplog.messages == ["resnet50 is not in the store shelf: it is left out"]


def test_a_failed_member_is_not_named_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(tmp_path)
    recipe = load_recipe(None, ["backbones.include=[vit, timm:resnet50, resnet101]"])
    for spec in recipe.members():
        if "resnet" in spec.backbone:
            write_json(failure_file(store, spec.name), {"reason": "NaN"})
    assert choose_members(recipe, ENTRIES, store) == ["vit"]
    assert not caplog.messages


def test_no_member_is_chosen() -> None:
    recipe = load_recipe(None, ["backbones.include=[resnet50]"])
    with pytest.raises(StoreError) as caught:
        choose_members(recipe, ENTRIES, STORE)
    assert str(caught.value) == (
        "shelf: expected a trained member that the recipe names, got net_s1, net_s2, vit. "
        "Run: committee train RECIPE"
    )


@pytest.mark.parametrize(
    ("overrides", "deployed"),
    [
        ([], ["refit", "folds", "refit"]),
        (["training.inference=folds"], ["folds", "folds", "folds"]),
        (["models=[{name: timm:test_vit, as: vit, inference: folds}]"], ["refit", "folds", "folds"]),
    ],
)
def test_the_recipe_chooses_the_deployed_networks_or_else_the_one_of_the_training(
    overrides: list[str], deployed: list[str]
) -> None:
    names = [entry["name"] for entry in ENTRIES]
    found = choose_deployed(load_recipe(None, overrides), ENTRIES, names)
    assert found == dict(zip(names, deployed, strict=True))


def test_methods_take_the_options_that_all_share_unless_they_have_their_own() -> None:
    methods = "soft_voting, weighted, {combiner: weighted, name: b, metric: accuracy}"
    recipe = load_recipe(
        None,
        [
            f"runs.score_ensemble.methods=[{methods}]",
            "runs.score_ensemble.optimization_metric=f1_macro",
            "runs.stacking.meta_learners=[lr, xgb]",
            "runs.stacking.xgb_config.max_depth=3",
            "runs.stacking.extras=true",
        ],
    )
    assert choose_methods(recipe) == [
        {"combiner": "soft_voting"},
        {"combiner": "weighted", "metric": "f1_macro", "space": "probability"},
        {"combiner": "weighted", "name": "b", "metric": "accuracy", "space": "probability"},
    ]
    assert recipe.runs.stacking is not None
    assert stacks(recipe.runs.stacking) == [
        {"combiner": "stacking_lr", "features": "auto", "extras": True},
        {
            "combiner": "stacking_xgb",
            "n_estimators": 100,
            "max_depth": 3,
            "learning_rate": 0.1,
            "features": "auto",
            "extras": True,
        },
    ]


def test_two_methods_of_one_name_are_refused() -> None:
    recipe = load_recipe(
        None, ["runs.score_ensemble.methods=[weighted, {combiner: weighted, metric: accuracy}]"]
    )
    with pytest.raises(RecipeError) as caught:
        choose_methods(recipe)
    assert str(caught.value) == (
        "runs.score_ensemble.methods: expected a different name for each ensemble, got 'weighted_ensemble' "
        "twice. Name one of them: {combiner: ..., name: ...}."
    )


def test_methods_by_name_have_the_options_of_the_recipe() -> None:
    recipe = load_recipe(
        None, ["runs.score_ensemble.methods=[{combiner: weighted, name: mine, metric: accuracy}]"]
    )
    mine = {"combiner": "weighted", "name": "mine", "metric": "accuracy", "space": "probability"}
    assert choose_methods(recipe, ["mine", "soft_voting_ensemble", "logit_averaging"]) == [
        mine,
        {"combiner": "soft_voting"},
        {"combiner": "logit_averaging"},
    ]
    with pytest.raises(UnknownNameError, match="Did you mean 'soft_voting'"):
        choose_methods(recipe, ["soft_votin"])


def test_only_builders_that_this_recipe_names_are_trusted() -> None:
    recipe = load_recipe(None, ["backbones.include=[timm:resnet18, python:nets:small]"])
    assert recipe.trusted_backbones() == ("python:nets:small",)
