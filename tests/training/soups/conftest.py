import pytest
import torch

from committee.training.fit.weight_averager import SoupContext, WeightAverager
from committee.training.plans.single import Single


@pytest.fixture
def siblings(making, dataset, store, cpu):
    """Train networks from one start: `siblings("a", "b")`, each with a seed of its own."""

    def make(*names, start_seed=5, epochs=3, **changes):
        made = {}
        for number, name in enumerate(names):
            words = [f"training.epochs={epochs}", f"training.start_seed={start_seed}", f"seed={number + 1}"]
            plan = Single(making.make_spec(*words, **changes), dataset, store, cpu)
            plan.name = name
            made[name] = plan.run(dataset.rows("train"), "refit", fingerprint=name)[name]
        return made

    return make


@pytest.fixture
def context(dataset):
    def make(recompute_bn=True, num_batches=4):
        return SoupContext(
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
def averager(siblings, context):
    return WeightAverager(siblings("a", "b", "c"), context(), "soup")
