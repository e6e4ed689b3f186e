"""What every plan promises, over every entry of the family."""

import numpy as np
import pytest
import torch

from committee.models.ensemble import load
from committee.training.plans.base import PLANS, Plan

OPTIONS = {
    "averaging": {},
    "bagging": {"networks": 2},
    "boosting": {"stages": 2},
    "single": {},
    "snapshot": {"n_snapshots": 2, "epochs_per_cycle": 1},
}


@pytest.fixture(params=PLANS.names())
def plan(request, making, dataset, store, cpu):
    spec = making.make_spec("training.epochs=2")
    return PLANS.make(
        request.param, spec=spec, dataset=dataset, store=store, device=cpu, **OPTIONS[request.param]
    )


def test_it_says_what_it_is(plan):
    assert isinstance(plan, Plan)
    assert plan.name and plan.folds >= 0 and plan.inference in ("refit", "folds") and plan.batch_size > 0
    assert plan.settings()["plan"] == plan.facts()["plan"]


def test_rows_become_members_and_the_same_rows_the_same(plan, dataset, tmp_path):
    rows = dataset.rows("train")[:64]
    made, same = (plan.run(rows, "fold_0", fingerprint=by) for by in ("a", "b"))
    assert set(made) == {plan.name, *plan.others}
    images = dataset.images(np.arange(5))
    for name, one in made.items():
        assert one.name == name and one.class_names == dataset.class_names
        assert one.provenance["epochs"] >= 1
        one.save(tmp_path / name)
        with torch.inference_mode():
            logits = one(images)
            assert logits.shape == (5, len(dataset.class_names))
            assert torch.equal(logits, same[name](images))
            assert torch.equal(logits, load(tmp_path / name, trusted=True)(images))


def test_a_run_of_the_same_goes_on_from_what_is_kept(plan, dataset, monkeypatch):
    rows = dataset.rows("train")[:64]
    made = plan.run(rows, "fold_0", fingerprint="a")
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self: pytest.fail("a step"))
    again = plan.run(rows, "fold_0", fingerprint="a")
    images = dataset.images(np.arange(5))
    with torch.inference_mode():
        for name, one in made.items():
            assert torch.equal(one(images), again[name](images))
