"""What every plan promises, over every entry of the family."""

import numpy as np
import pytest
import torch

from committee.training.plans._base import PLANS, Plan

MAKE = {"single": lambda making, dataset, store: {"spec": making.make_spec("training.epochs=2")}}


@pytest.fixture(params=PLANS.names())
def plan(request, making, dataset, store, cpu):
    options = MAKE[request.param](making, dataset, store)
    return PLANS.make(request.param, **options, dataset=dataset, store=store, device=cpu)


def test_it_says_what_it_is(plan):
    assert isinstance(plan, Plan)
    assert plan.name and plan.folds >= 0 and plan.inference in ("refit", "folds") and plan.batch_size > 0
    assert plan.settings()["plan"] == plan.facts()["plan"]


def test_rows_become_a_member_and_the_same_rows_the_same(plan, dataset):
    rows = dataset.rows("train")[:64]
    one, same = (plan.run(rows, "fold_0", made_from=made) for made in ("a", "b"))
    images = dataset.images(np.arange(5))
    with torch.inference_mode():
        logits = one(images)
        assert logits.shape == (5, len(dataset.class_names))
        assert torch.equal(logits, same(images))
    assert one.name == plan.name and one.class_names == dataset.class_names
    assert one.provenance["epochs"] >= 1
