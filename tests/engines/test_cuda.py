"""The engines of GPUs, with stand-ins for what only a GPU has: graphs, and which stream waits for which."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from committee.engines import cuda_graphs
from committee.engines.cuda_graphs import CudaGraphs
from committee.engines.cuda_streams import CudaStreams
from committee.models.ensemble import Ensemble
from committee.models.member import Member


def ensemble(count: int = 3) -> Ensemble:
    torch.manual_seed(0)
    nets = [nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 2)) for _ in range(count)]
    return Ensemble([Member.from_module(net, classes=["a", "b"], size=8) for net in nets]).eval()


def images(count: int) -> Tensor:
    return torch.randint(0, 256, (count, 3, 9, 9), dtype=torch.uint8)


@torch.inference_mode()
def test_a_graph_is_recorded_for_each_power_of_two_when_it_is_needed(monkeypatch) -> None:
    recorded: list[int] = []

    def record(run: Callable[[Tensor], Tensor], inputs: Tensor) -> Callable[[], Tensor]:
        recorded.append(len(inputs))
        return lambda: run(inputs)

    monkeypatch.setattr(cuda_graphs, "_record", record)
    module = ensemble()
    run = CudaGraphs().prepare(module, images(6))
    assert recorded == [6]
    for count in (6, 5, 1, 2, 15):
        batch = images(count)
        torch.testing.assert_close(run(batch), module(batch))
    assert recorded == [6, 1, 2, 4]
    other = torch.randint(0, 256, (2, 3, 20, 30), dtype=torch.uint8)
    torch.testing.assert_close(run(other), module(other))
    assert recorded == [6, 1, 2, 4], "images of another size need no graph"


@torch.inference_mode()
def test_each_network_has_a_stream_that_waits_for_the_images_and_is_waited_for(monkeypatch) -> None:
    events: list[str] = []

    class Stream:
        def __init__(self, name: object) -> None:
            self.name = str(name)

        def wait_stream(self, other: Stream) -> None:
            events.append(f"{self.name} waits for {other.name}")

    @contextlib.contextmanager
    def on(stream: Stream) -> Iterator[None]:
        events.append(f"on {stream.name}")
        yield

    sides = iter("abc")
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream(next(sides)))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream("main"))
    monkeypatch.setattr(torch.cuda, "stream", on)
    module, batch = ensemble(), images(4)
    torch.testing.assert_close(CudaStreams().prepare(module, batch)(batch), module(batch))
    forks = [event for side in "abc" for event in (f"{side} waits for main", f"on {side}")]
    assert events == forks + [f"main waits for {side}" for side in "abc"]
