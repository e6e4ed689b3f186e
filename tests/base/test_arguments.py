"""Arguments that are no paths, names or sequences get one sentence at every public entrance of Python."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import committee
from committee import Ensemble, Member, Predictions, Store
from committee.errors import CommitteeError, StoreError, UsageError
from committee.models.stacked import groups
from committee.recipe.load import load_recipe

ENTRANCES: dict[str, Callable[[Any], Any]] = {
    "combine": committee.combine,
    "run": lambda value: committee.run(value, value),
    "load_model": lambda value: committee.load_model(value, value),
    "load_model, name": lambda value: committee.load_model("none", value),
    "sample_weights": lambda value: committee.sample_weights(value, value),
    "load_predictions": committee.load_predictions,
    "load_recipe": lambda value: load_recipe(0 if value is None else value),
    "leaderboard": committee.leaderboard,
    "Ensemble.load": Ensemble.load,
    "Member.load": Member.load,
    "Member.build": lambda value: Member.build(value, classes=["a", "b"], size=8),
    "Predictions.load": Predictions.load,
    "Predictions.join": Predictions.join,
    "Store": lambda value: Store(value).resolve("x"),
    "groups": lambda value: groups([value]),
}


@pytest.mark.parametrize("name", ENTRANCES)
def test_values_of_another_kind_are_refused_in_one_sentence(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for value in (None, 1, [], "", [1], {}, Path("none", "here")):
        with pytest.raises(CommitteeError) as caught:
            ENTRANCES[name](value)
        assert ": " in str(caught.value) and "\n" not in str(caught.value), value


def test_what_an_entrance_says(tmp_path):
    for call, expected in (
        (lambda: committee.load_model(None, "a"), "store: expected a path, got None."),
        (lambda: committee.load_model(tmp_path, 1), "name: expected a name, got 1."),
        (lambda: groups([1]), "networks: expected networks, got 1."),
        (lambda: Store([]), "store: expected a path, got a list."),
    ):
        with pytest.raises(UsageError) as caught:
            call()
        assert str(caught.value) == expected


def test_a_folder_that_cannot_be_written(tmp_path):
    from torch import nn

    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2))
    member = Member.from_module(net, classes=["a", "b"], size=8)
    (tmp_path / "file").write_bytes(b"")
    for model in (member, Ensemble([member])):
        with pytest.raises(StoreError) as caught:
            model.save(tmp_path / "file" / "below")
        assert "not writable (" in str(caught.value)
        assert str(caught.value).endswith("Give a folder that may be written.")


def test_a_setting_in_place_of_the_recipe():
    with pytest.raises(CommitteeError) as caught:
        load_recipe("dataset.name=x")
    assert str(caught.value) == (
        "dataset.name=x: the file does not exist. "
        "A setting follows the recipe: RECIPE --set 'dataset.name=x'. "
        "Write a recipe with: committee init recipe.yaml"
    )
