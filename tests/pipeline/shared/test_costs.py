"""Costs of models: parts are timed alone, and their times are added call by call."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from committee.combiners.base import build
from committee.combiners.cascade import Cascade
from committee.combiners.pruned import Pruned
from committee.images.dataset import open_dataset
from committee.models.batch import Batch
from committee.models.measure import parameters, size_mb
from committee.pipeline.shared import costs
from committee.pipeline.shared.costs import Costs
from committee.pipeline.shared.models import load_model
from committee.pipeline.shared.photo import Photo, photo_of
from committee.predictions.simulation import simulate
from committee.pruning._subsets import Budgets, latency
from committee.recipe.dataset import Dataset as Settings
from committee.store.layout import Store

BOTH = {"test_resnet": "refit", "test_vit": "folds"}


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The modules that were timed; the k-th call of each takes k milliseconds more than 10."""
    modules: list[nn.Module] = []

    def call_times(module: nn.Module, batch: torch.Tensor | Batch, warmup: int = 3) -> np.ndarray:
        modules.append(module)
        output = module(batch)
        assert output.shape[-2:] in ((2, 10), (32, 32))
        return 10.0 + np.arange(20)

    monkeypatch.setattr(costs, "call_times", call_times)
    return modules


def make(store: Store) -> Costs:
    return Costs(store, 2, torch.device("cpu"), ())


def test_an_ensemble_is_the_sum_of_its_parts(trained: Store, timed: list[nn.Module]) -> None:
    combiner = build("soft_voting").bind(list(BOTH))
    found = make(trained).of(BOTH, combiner)
    # One refit network, three fold networks with their mean, and the combiner; all networks share the
    # resizing of two images, which is timed for a photo and for an image of the size of the networks.
    assert len(timed) == 6 + 2
    times = {
        "median": pytest.approx((6 + 2) * 19.5),
        "p95": pytest.approx((6 + 2) * np.percentile(10 + np.arange(20), 95)),
        "resizing": {"32 px crop": 2 * 19.5},
    }
    assert found["latency_ms"] == {
        **times,
        "image": [1, 8, 8],
        "image_of": "the median size of the images of the data set",
        "network_sized": {**times, "image": [1, 37, 37]},
        "batch": 2,
        "networks": 4,
        "device": "cpu",
        "threads": 1,
    }
    whole = [load_model(trained, name, inference=inference)[0] for name, inference in BOTH.items()]
    assert found["parameters"] == sum(map(parameters, whole))
    assert found["size_mb"] == pytest.approx(sum(map(size_mb, whole)))


def test_a_network_is_timed_once(trained: Store, timed: list[nn.Module]) -> None:
    found = make(trained)
    alone = [found.of({name: "refit"}) for name in BOTH]
    together = found.of(dict.fromkeys(BOTH, "refit"), build("soft_voting"))
    assert len(timed) == 3 + 2
    assert together["size_mb"] == pytest.approx(sum(each["size_mb"] for each in alone))


def test_one_network_is_in_memory_at_a_time(trained: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[weakref.ref[nn.Module]] = []

    def call_times(module: nn.Module, batch: torch.Tensor | Batch, warmup: int = 3) -> np.ndarray:
        gc.collect()
        assert not any(isinstance(each(), nn.Module) for each in alive)
        alive.append(weakref.ref(module))
        return np.ones(1)

    monkeypatch.setattr(costs, "call_times", call_times)
    make(trained).of(BOTH)
    assert len(alive) == 5 + 2


def test_a_photo_has_the_median_size_of_the_images(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for label, blue in (("cat", 0), ("dog", 200)):
        (photos / label).mkdir(parents=True)
        for width in (30, 10, 50, 40, 20):
            Image.new("RGB", (width, 2 * width), (width, width, blue)).save(photos / label / f"{width}.png")
    store = Store(tmp_path / "store")
    open_dataset(Settings(path=str(photos)), store, img_sizes=[8], folds=0, seed=0)
    photo = photo_of(store)
    assert (photo.height, photo.width) == (60, 30)
    photos.rename(tmp_path / "moved")
    assert photo_of(store) == Photo(3000, 4000, "a photo of 12 megapixels")


def test_latency_of_members_that_share_the_resizing() -> None:
    """The resizing of photos counts once in budgets and in the costs of the stages of a cascade."""
    members = {"a": (30.0, {"x": 20.0}), "b": (25.0, {"x": 20.0}), "c": (60.0, {"x": 20.0, "y": 30.0})}
    known = {
        name: {"latency_ms": ms, "resizing_ms": of, "size_mb": 1.0} for name, (ms, of) in members.items()
    }
    assert latency(known, ["a", "b"]) == 20 + 10 + 5
    assert Budgets(known, {}).of(["a", "b", "c"]) == {"latency_ms": 20 + 30 + 10 + 5 + 10, "size_mb": 3.0}
    assert Budgets(known, {"latency_ms": 36}).meets(["a", "b"])
    rows = simulate({"a": 2.0, "b": 3.0, "c": 4.0})
    fitted = Cascade(costs=known, members=["b", "a", "c"]).fit(rows)
    assert fitted.notes()["fit"]["full_cost"] == 75
    assert (
        Pruned(max_latency_ms=36, target_size=2, costs=known).fit(rows).notes()["chosen"]["latency_ms"] == 35
    )
