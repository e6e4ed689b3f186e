"""The time of a training step, estimated from a forward pass or from FLOPs."""

from __future__ import annotations

import time

import pytest
import torch
from torch import Tensor, nn

from committee.errors import TrainingError
from committee.pipeline.shared.step_time import StepTimer, _flops


class Slow(nn.Module):
    """Convolutions, each of which sleeps."""

    def __init__(self, pause: float) -> None:
        super().__init__()
        self.pause, self.seen = pause, list[int]()
        self.layers = nn.Sequential(*(nn.Conv2d(3, 3, 3, padding=1) for _ in range(10)))

    def forward(self, images: Tensor) -> Tensor:
        if images.device.type != "meta":
            self.seen.append(len(images))
        for layer in self.layers:
            time.sleep(self.pause)
            images = layer(images)
        return images


@pytest.mark.parametrize(("pause", "seen"), [(0.0, [2, 8, 32, 40]), (0.01, [2])])
def test_a_fast_network_is_timed_on_more_images(pause: float, seen: list[int]) -> None:
    network = Slow(pause)
    seconds, source = StepTimer(torch.device("cpu")).measure(network, (3, 8, 8), 40)
    assert (network.seen, source) == (seen, f"{seen[-1]} images")
    assert seconds >= 3 * 10 * pause / seen[-1]
    assert all(each.grad is None for each in network.parameters())


def test_a_pass_ends_at_the_limit_and_the_rest_is_estimated_from_flops() -> None:
    timer, slow, start = StepTimer(torch.device("cpu"), limit=0.05), Slow(0.04), time.perf_counter()
    assert timer.measure(slow, (3, 8, 8), 4)[1] == "FLOPs" and timer.left == 0
    seconds, source = timer.measure(Slow(0.0), (3, 8, 8), 4)
    assert source == "FLOPs" and 0 < seconds < 0.01
    assert time.perf_counter() - start < 2


def test_flops_are_those_of_the_layers_and_need_no_memory() -> None:
    network = nn.Sequential(nn.Conv2d(3, 5, 3, padding=1), nn.BatchNorm2d(5), nn.Flatten(), nn.Linear(320, 7))
    assert _flops(network, (3, 8, 8)) == 2 * (64 * 27 * 5 + 320 * 7)


def test_the_output_is_checked() -> None:
    def refuse(output: Tensor) -> None:
        raise TrainingError("net", expected="logits", got=str(list(output.shape)))

    with pytest.raises(TrainingError, match=r"net: expected logits, got \[2, 192\]"):
        StepTimer(torch.device("cpu")).measure(nn.Flatten(), (3, 8, 8), 4, refuse)
