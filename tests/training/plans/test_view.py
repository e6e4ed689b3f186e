"""Members under a view as plans: nothing is trained."""

import numpy as np
import pytest
import torch

from committee.models.views.base import SingleView
from committee.models.views.hflip import Hflip
from committee.predictions.table import Predictions
from committee.store.links import LEAST
from committee.training.plans.base import Inputs
from committee.training.plans.view import ViewPlan


@pytest.fixture
def plan(add_single, dataset, store, cpu):
    add_single("one", "training.epochs=1")
    facts = {"one": {"backbone": "timm:test_resnet", "seed": 3}}
    inputs = Inputs(["one"], facts, {"one": "x"}, dataset, store, cpu, trusted=True)
    return ViewPlan("one_hflip", inputs, SingleView(Hflip(), "hflip"))


def test_it_keeps_the_contract(plan, contract):
    contract(plan)
    assert (plan.facts()["seed"], plan.facts()["of"], plan.facts()["shares"]) == (3, ["one"], "one")


def test_its_weights_are_those_of_the_member(plan, dataset, store, crossfitted):
    crossfitted(plan, store)
    folder, member = store.checkpoint("one_hflip", "fold_0"), store.checkpoint("one", "fold_0")
    (weights,) = (folder / "parts").glob("*/weights.safetensors")
    assert weights.read_bytes() == (member / "weights.safetensors").read_bytes()
    assert weights.stat().st_size < LEAST or weights.samefile(member / "weights.safetensors")
    oof, plain = (Predictions.load(store.kfold(name) / "oof") for name in ("one_hflip", "one"))
    assert len(oof) == 240 and not oof.seen.any() and not np.allclose(oof.logits, plain.logits)


def test_a_view_of_stored_canvases_is_that_of_the_images(plan, dataset):
    made = plan.run(dataset.rows("train")[:9], "fold_0", fingerprint="a")["one_hflip"]
    images = dataset.images(np.arange(9))
    with torch.inference_mode():
        torch.testing.assert_close(made(images), made.part(images.flip(3)), rtol=1e-4, atol=1e-5)
