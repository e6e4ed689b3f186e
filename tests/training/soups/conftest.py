import pytest
import torch

from committee.training.plans.single import Single
from committee.training.soups.weight_averager import Kitchen, Pot


@pytest.fixture
def siblings(making, dataset, store, cpu):
    """Train networks from one start: `siblings("a", "b")`, each with a seed of its own."""

    def make(*names, start_seed=5, epochs=3, **changes):
        made = {}
        for number, name in enumerate(names):
            words = [f"training.epochs={epochs}", f"training.start_seed={start_seed}", f"seed={number + 1}"]
            plan = Single(making.make_spec(*words, **changes), dataset, store, cpu)
            plan.name = name
            made[name] = plan.run(dataset.rows("train"), "refit", made_from=name)[name]
        return made

    return make


@pytest.fixture
def kitchen(dataset):
    def make(recompute_bn=True, num_batches=4):
        return Kitchen(
            dataset,
            dataset.rows("train"),
            dataset.rows("val"),
            32,
            torch.device("cpu"),
            recompute_bn,
            num_batches,
            0,
        )

    return make


@pytest.fixture
def pot(siblings, kitchen):
    return Pot(siblings("a", "b", "c"), kitchen(), "soup")
