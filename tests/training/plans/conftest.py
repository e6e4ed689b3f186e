"""The promises that every plan keeps."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from committee.executors._ray_desk import Desk
from committee.executors._ray_mirror import Mirror
from committee.executors._relocated import dump
from committee.executors._relocated import load as load_work
from committee.models.ensemble import load
from committee.training.fit.predict import inputs_of
from committee.training.plans.base import PLANS, Plan


class Near(Mirror):
    """A mirror of a store whose desk is in this process."""

    def _ask(self, what, *arguments):
        return getattr(self.desk, what)(*arguments)


def elsewhere(plan, root):
    """Return a plan as another machine gets it, with an empty folder in place of `root`."""
    near = Near(root / "node", Desk(str(root)))
    moved = load_work(dump(plan, root), near, torch.device("cpu"))
    assert moved.store.root.is_relative_to(root / "node")
    return moved


@pytest.fixture
def contract(dataset, tmp_path):
    """Return a function that checks a plan, whose members are trained on some rows of `dataset`."""

    def check(plan):
        assert isinstance(plan, Plan)
        assert plan.name and plan.folds >= 0 and plan.inference in ("refit", "folds") and plan.batch_size > 0
        assert plan.settings()["plan"] == plan.facts()["plan"]
        derives = plan.section != "training.plan"
        assert (
            PLANS.constants(type(plan).__module__.rpartition(".")[2]).get("section", "training.plan")
            == plan.section
        )
        assert derives == ("of" in plan.facts())
        rows = dataset.rows("train")[:64]
        made = plan.run(rows, "fold_0", fingerprint="a")
        same = elsewhere(plan, tmp_path).run(rows, "fold_0", fingerprint="b")
        assert set(made) == {plan.name, *plan.others}
        for name, one in made.items():
            assert one.name == name and one.class_names == dataset.class_names
            assert one.provenance["epochs"] >= (0 if derives else 1)
            images = inputs_of(one, dataset, np.arange(5), torch.device("cpu"))
            one.save(tmp_path / "made" / name)
            with torch.inference_mode():
                logits = one(images)
                assert logits.shape == (5, len(dataset.class_names))
                assert torch.equal(logits, same[name](images))
                assert torch.equal(logits, load(tmp_path / "made" / name, trusted=True)(images))
        return made

    return check
