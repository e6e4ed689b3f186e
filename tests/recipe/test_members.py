"""Members of a recipe, and selection of trained members."""

from __future__ import annotations

import pytest

from committee.recipe.load import load_recipe
from committee.recipe.members import slug


@pytest.mark.parametrize(
    ("backbone", "name"),
    [
        ("resnet50", "resnet50"),
        ("timm:test_resnet", "test_resnet"),
        ("hf-hub:timm/vit.in1k", "timm_vit.in1k"),
        ("python:my.nets:tiny", "my.nets_tiny"),
        ("timm:..", "member"),
    ],
)
def test_a_slug_may_be_a_folder(backbone: str, name: str) -> None:
    assert slug(backbone) == name


def test_settings_come_from_the_nearest_place_that_has_them() -> None:
    recipe = load_recipe(
        None,
        [
            "training={epochs: 9, lr: 0.1, augment: {color_jitter: 0.0}}",
            "dataset={img_size: 64, batch_size: 8}",
            "overrides={resnet18: {lr: 0.2, augment: {flip: false}}, b: {img_size: 32}}",
            "models=[resnet18, {name: resnet18, as: b, lr: 0.3, batch_size: 2, pretrained: w.safetensors}]",
        ],
    )
    first, second = recipe.members()
    assert (first.name, first.training.epochs, first.training.lr, first.img_size, first.batch_size) == (
        "resnet18",
        9,
        0.2,
        64,
        8,
    )
    assert (first.training.augment.flip, first.training.augment.color_jitter) == (False, 0.0)
    assert (first.pretrained, second.pretrained) == (None, "w.safetensors")
    assert (second.name, second.training.lr, second.img_size, second.batch_size) == ("b", 0.3, 32, 2)


def test_seeds_make_members() -> None:
    recipe = load_recipe(None, ["seed=7", "models=[{name: a, seeds: [1, 2]}, {name: b, seeds: [3]}, c]"])
    assert [(m.name, m.seed) for m in recipe.members()] == [("a_s1", 1), ("a_s2", 2), ("b", 3), ("c", 7)]


def test_include_and_models_describe_one_member_together() -> None:
    recipe = load_recipe(None, ["backbones.include=[a, b]", "models=[{name: b, lr: 0.5}]"])
    assert [(member.name, member.training.lr) for member in recipe.members()] == [("a", None), ("b", 0.5)]


def test_exclude_takes_backbones_slugs_and_aliases() -> None:
    restrict_to_used = [
        "backbones.include=[timm:a, timm:b, c]",
        "models=[{name: c, as: d}]",
        "backbones.exclude=[timm:a, b, d]",
    ]
    assert load_recipe(None, restrict_to_used).members() == []


def test_a_name_given_to_several_seeds_means_each() -> None:
    words = ["models=[{name: timm:a, seeds: [1, 2], as: r}, {name: mobileone_s1, as: mobileone_s1}]"]
    store = {"r_s1": "timm:a", "r_s2": "timm:a", "mobileone_s1": "mobileone_s1"}
    recipe = load_recipe(None, words)
    assert recipe.select(store) == (["r_s1", "r_s2", "mobileone_s1"], [])
    restrict_to_used = load_recipe(None, [*words, "backbones.exclude=[r, mobileone]"])
    assert [member.name for member in restrict_to_used.members()] == ["mobileone_s1"]
    assert load_recipe(None, ["backbones.include=[r]"]).select(store) == (["r_s1", "r_s2"], [])


def test_choosing_among_trained_members() -> None:
    store = {"a": "timm:a", "b_s1": "b", "b_s2": "b"}
    everything = load_recipe()
    some = load_recipe(None, ["backbones={include: [b, z, gone], exclude: [b_s2, gone]}"])
    assert everything.select(store) == (["a", "b_s1", "b_s2"], [])
    assert some.select(store) == (["b_s1"], ["z"])
