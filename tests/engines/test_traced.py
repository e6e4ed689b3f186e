"""Programs without Python between operations return what the functions do that they are recorded from."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from committee.combiners.base import build
from committee.engines.base import ENGINES
from committee.engines.shared.traced import Program, runs_all, traced
from committee.models.ensemble import Ensemble
from committee.models.member import Member


class Doubled(nn.Module):
    """A network that branches on the values of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        found: Tensor = self.layer(inputs)
        return found * 2 if inputs.sum() > 0 else found


def ensemble(*nets: nn.Module, combiner: str = "soft_voting") -> Ensemble:
    members = [
        Member.from_module(net, classes="abc", shape=[4], name=f"net_{place}")
        for place, net in enumerate(nets)
    ]
    return Ensemble(members, build(combiner)).eval()


def plain() -> Ensemble:
    torch.manual_seed(0)
    return ensemble(*(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)) for _ in range(3)))


@pytest.mark.parametrize("name", ["channels_last", "stacked"])
def test_an_engine_of_floating_inputs_is_a_program_for_any_number_of_them(name: str) -> None:
    module = plain()
    with torch.inference_mode():
        run = ENGINES.make(name).prepare(module, torch.rand(1, 4))
        for count in (1, 2, 7):
            inputs = torch.rand(count, 4)
            torch.testing.assert_close(run(inputs), module(inputs), atol=1e-6, rtol=0)
    assert isinstance(run, Program)


@pytest.mark.parametrize("name", ["channels_last", "stacked"])
def test_networks_with_branches_are_no_programs(name: str) -> None:
    module = ensemble(Doubled(), nn.Linear(4, 3), nn.Linear(4, 3))
    run = ENGINES.make(name).prepare(module, torch.ones(2, 4))
    assert not isinstance(run, Program)
    with torch.inference_mode():
        for inputs in (torch.ones(2, 4), -torch.ones(2, 4)):
            torch.testing.assert_close(run(inputs), module(inputs), atol=1e-6, rtol=0)


def test_images_that_are_resized_are_not_recorded() -> None:
    run = plain().infer
    assert traced(run, torch.zeros(2, 3, 4, 4, dtype=torch.uint8)) is run


def test_a_cascade_does_not_run_all_of_its_networks() -> None:
    assert runs_all(plain())
    assert not runs_all(ensemble(nn.Linear(4, 3), nn.Linear(4, 3), combiner="cascade"))
