from __future__ import annotations

import pytest

from committee.recipe.channel_pruning import ChannelPruning as Section
from committee.recipe.load import load_recipe
from committee.training.plans.channel_pruning import ChannelPruning


@pytest.fixture
def plan(add_single, dataset, store, cpu):
    add_single("one", "training.epochs=1")
    settings = [
        "training.epochs=1",
        "dataset.img_size=32",
        'models=[{name: "python:tiny_nets:tiny", as: slim_one}]',
    ]
    spec = load_recipe(None, [*settings, "training.pretrained=false"]).members()[0]
    config = Section(amount=0.5)
    return ChannelPruning(spec, dataset, store, cpu, member="one", source="x", config=config, trusted=True)


def test_it_keeps_the_contract(plan, contract):
    contract(plan)
    assert (plan.facts()["of"], plan.settings()["amount"]) == (["one"], 0.5)
