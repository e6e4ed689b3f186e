"""Presets of the augmentation, and the keys that change them."""

from __future__ import annotations

import pytest

from committee.errors import RecipeError
from committee.recipe.augment import PRESETS, Amounts
from committee.recipe.load import load_recipe


def amounts(*settings: str) -> Amounts:
    return load_recipe(None, list(settings)).training.augment.amounts()


def test_the_default_is_mild() -> None:
    assert amounts() == PRESETS["mild"] == Amounts(flip=True, color_jitter=0.1, hue=0.05)


@pytest.mark.parametrize("name", PRESETS)
def test_text_is_a_preset_and_keys_change_it(name: str) -> None:
    assert amounts(f"training.augment={name}") == PRESETS[name]
    changed = amounts(f"training.augment={{preset: {name}, randaugment: 3, flip: false}}")
    assert changed == Amounts(**{**vars(PRESETS[name]), "randaugment": 3, "flip": False})


def test_a_member_changes_the_preset_and_keeps_the_keys_of_the_recipe() -> None:
    settings = ["training.augment={flip: false}", "models=[a, {name: b, augment: strong}]"]
    a, b = (member.training.augment for member in load_recipe(None, settings).members())
    assert a.amounts() == Amounts(flip=False, color_jitter=0.1, hue=0.05)
    assert b.amounts() == Amounts(**{**vars(PRESETS["strong"]), "flip": False})


def test_equal_amounts_have_equal_settings_however_they_are_written() -> None:
    named, spelled = (
        load_recipe(None, [f"training.augment={text}"]).training.augment.settings()
        for text in ("none", "{preset: mild, flip: false, color_jitter: 0, hue: 0}")
    )
    assert named == spelled


def test_the_candidates_of_auto_are_the_presets_with_the_keys_that_are_given() -> None:
    augment = load_recipe(None, ["training.augment={preset: auto, flip: false}"]).training.augment
    assert augment.settings()["preset"] == "auto" and augment.amounts() == Amounts(color_jitter=0.1, hue=0.05)
    assert {name: each.amounts() for name, each in augment.candidates().items()} == {
        name: Amounts(**{**vars(values), "flip": False}) for name, values in PRESETS.items()
    }


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(None, ["training.augment=light"])
    assert str(caught.value) == (
        "training.augment: expected one of none, mild, strong, auto, got 'light'. "
        "(--set training.augment=light)"
    )
