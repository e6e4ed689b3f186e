"""The promises of plans, over every entry that trains a backbone; derived plans have tests of their own."""

from pathlib import Path

import numpy as np
import pytest
import torch

from committee.errors import RecipeError
from committee.models.member import Member
from committee.recipe.load import load_recipe
from committee.training.plans.base import PLANS

OF_BACKBONE = [name for name in PLANS.names() if PLANS.load(name).section == "training.plan"]
DERIVED = [name for name in PLANS.names() if name not in OF_BACKBONE]
SMALL = {
    "bagging": {"networks": 2},
    "boosting": {"stages": 2},
    "snapshot": {"n_snapshots": 2, "epochs_per_cycle": 1},
}
"""Options that make plans fast; others have their defaults."""


@pytest.fixture(params=OF_BACKBONE)
def plan(request, making, dataset, store, cpu):
    options = SMALL.get(request.param, {})
    spec = making.make_spec("training.epochs=2")
    return PLANS.make(request.param, spec=spec, dataset=dataset, store=store, device=cpu, **options)


def test_rows_become_members_and_the_same_rows_the_same(plan, contract):
    made = contract(plan)
    assert isinstance(made[plan.name], Member) == plan.single_network
    assert PLANS.constants(plan.key).get("single_network", True) == plan.single_network


def test_a_run_of_the_same_goes_on_from_what_is_kept(plan, dataset, monkeypatch):
    rows = dataset.rows("train")[:64]
    made = plan.run(rows, "fold_0", fingerprint="a")
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self: pytest.fail("a step"))
    again = plan.run(rows, "fold_0", fingerprint="a")
    images = dataset.images(np.arange(5))
    with torch.inference_mode():
        for name, one in made.items():
            assert torch.equal(one(images), again[name](images))


def test_there_are_plans_of_both_kinds():
    assert OF_BACKBONE and DERIVED
    assert "single" in OF_BACKBONE and {PLANS.load(name).section for name in OF_BACKBONE} == {"training.plan"}


@pytest.mark.parametrize("name", DERIVED)
def test_a_derived_plan_checks_its_contract_in_its_own_file(name):
    text = Path(__file__).with_name(f"test_{name}.py").read_text(encoding="utf-8")
    assert "    contract(" in text


@pytest.mark.parametrize("name", OF_BACKBONE)
def test_training_plan_accepts_a_plan_that_trains_a_backbone(name):
    assert load_recipe(None, [f"training.plan={name}"]).training.plan.name == name


@pytest.mark.parametrize("name", DERIVED)
def test_training_plan_refuses_a_derived_plan_and_names_its_section(name):
    with pytest.raises(RecipeError) as caught:
        load_recipe(None, [f"training.plan={name}"])
    assert str(caught.value) == (
        f"training.plan: expected one of {', '.join(OF_BACKBONE)}, got '{name}'. The plan {name} "
        f"derives a member from trained members: use the section {PLANS.load(name).section}. "
        f"(--set training.plan={name})"
    )


def test_an_unknown_plan_is_refused_with_the_nearest():
    with pytest.raises(RecipeError, match=r"got 'bagginng'\. Did you mean 'bagging'\?"):
        load_recipe(None, ["training.plan=bagginng"])
