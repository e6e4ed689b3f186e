"""Measurements of modules: time of a batch, and size with shared storage."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from torch import nn

from committee.models.measure import call_times, device_of, parameters, size_mb


class Slow(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        assert not self.training
        time.sleep(0.02 if self.calls > 2 else 0.5)
        return images


def test_calls_are_timed_after_warm_up():
    module = Slow()
    times = call_times(module, torch.zeros(4, 3, 8, 8, dtype=torch.uint8), repeats=5, warmup=2)
    assert module.calls == 7
    assert times.shape == (5,) and times.min() >= 20
    assert np.median(times) < 400
    assert module.training


def test_calls_go_through_infer():
    class Short(Slow):
        def infer(self, images: torch.Tensor) -> torch.Tensor:
            return images

    module = Short()
    call_times(module, torch.zeros(1, 1, 2, 2), repeats=2, warmup=0)
    assert module.calls == 0


def test_shared_tensors_count_once():
    layer = nn.Linear(10, 25, bias=False)
    both = nn.ModuleList([layer, layer, nn.BatchNorm1d(4)])
    assert parameters(both) == 258
    assert size_mb(both) == pytest.approx((258 + 8) * 4e-6 + 8e-6)


def test_a_module_without_tensors_is_on_the_processor():
    assert device_of(nn.Identity()) == torch.device("cpu")
    assert size_mb(nn.Identity()) == 0
