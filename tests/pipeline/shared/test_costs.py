"""Costs of models: parts are timed alone, and their times are added call by call."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from committee.combiners.base import build
from committee.models.measure import parameters, size_mb
from committee.pipeline.shared import costs
from committee.pipeline.shared.costs import Costs
from committee.pipeline.shared.models import load_model
from committee.store.layout import Store

BOTH = {"test_resnet": "refit", "test_vit": "folds"}


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The modules that were timed; the k-th call of each takes k milliseconds more than 10."""
    modules: list[nn.Module] = []

    def call_times(module: nn.Module, batch: torch.Tensor) -> np.ndarray:
        modules.append(module)
        assert module(batch).shape[-2:] == (2, 10)
        return 10.0 + np.arange(20)

    monkeypatch.setattr(costs, "call_times", call_times)
    return modules


def make(store: Store) -> Costs:
    return Costs(store, 2, torch.device("cpu"), ())


def test_an_ensemble_is_the_sum_of_its_parts(trained: Store, timed: list[nn.Module]) -> None:
    combiner = build("soft_voting").bind(list(BOTH))
    found = make(trained).of(BOTH, combiner)
    # One refit network, three fold networks with their mean, and the combiner.
    assert len(timed) == 6
    assert found["latency_ms"] == {
        "median": pytest.approx(6 * 19.5),
        "p95": pytest.approx(6 * np.percentile(10 + np.arange(20), 95)),
        "batch": 2,
        "image": [1, 37, 37],
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
    assert len(timed) == 3
    assert together["size_mb"] == pytest.approx(sum(each["size_mb"] for each in alone))


def test_one_network_is_in_memory_at_a_time(trained: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[weakref.ref[nn.Module]] = []

    def call_times(module: nn.Module, batch: torch.Tensor) -> np.ndarray:
        gc.collect()
        assert not any(isinstance(each(), nn.Module) for each in alive)
        alive.append(weakref.ref(module))
        return np.ones(1)

    monkeypatch.setattr(costs, "call_times", call_times)
    make(trained).of(BOTH)
    assert len(alive) == 5
