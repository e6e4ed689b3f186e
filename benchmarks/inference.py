"""Inference by ensembles of one architecture: a plain loop, `vmap`, a peer's wrapper, our engines.

The mean of the probabilities of 5 and of 10 networks, with batches of 1 and of 64 images that are normalized
already. All are called in turns, and a ratio is that of calls that follow each other. The first rows of a
network compare what the planner chose, in float32 and with a tolerance that allows bfloat16; the others are
single engines. It takes about ten minutes on two cores.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from harness import Row, absent, installed, main, spread
from peers.small_networks import MLP, SimpleCNN, resnet18, vit_tiny
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from committee.base.shared_work import shared_work
from committee.engines.base import ENGINES
from committee.models.ensemble import Ensemble
from committee.models.member import Member

QUESTION = "inference"
LOOP, VMAP, WRAPPER = "plain loop", "vmap", "torch-uncertainty's wrapper"
PLANNER, HALF = "planner", "planner with bf16"
BUDGET = 15.0
"""Seconds of the planner, in which no graph is recorded: those of the single engines are there already."""
TOLERANCE, LOOSE = 1e-5, 0.05
"""Tolerances of the planner, of which the second allows bfloat16."""
CALL = 0.02
"""Seconds that repeated calls take at least, in each of which a measurement consists."""
ROUNDS, LEAST, SECONDS = 15, 3, 4.0
"""Rounds of a measurement; after so many seconds, only the least number of them."""
EFFORT, ALONE = 1, 5
"""Largest `effort` and number of members of engines with rows of their own: others take long to prepare."""
Run = Callable[[Tensor], Tensor]
Times = tuple[dict[str, list[float]], dict[str, list[float]]]
"""Seconds of the calls of each, and those of the processor."""


class Case(NamedTuple):
    """A network, its input, and the ratios to the plain loop that are aimed at, the second with bfloat16."""

    name: str
    build: Callable[[], nn.Module]
    channels: int
    size: int
    target: float
    half: float


CASES = (
    Case("SimpleCNN 28 px", SimpleCNN, 1, 28, 3.0, 3.0),
    Case("MLP 784-256-256-10", MLP, 1, 28, 3.0, 3.0),
    Case("resnet18 64 px", resnet18, 3, 64, 1.5, 2.0),
    Case("ViT-tiny 96 px", vit_tiny, 3, 96, 2.0, 2.0),
)


def measure(quick: bool, device: str = "cpu") -> list[Row]:
    """Measure all networks, numbers of members and batch sizes on a device."""
    cases, sizes, counts = (CASES[:1], (2,), (2,)) if quick else (CASES, (1, 64), (5, 10))
    found: list[Row] = []
    for case in cases:
        for count in counts:
            with shared_work():
                found += rows(case, count, sizes, device, quick)
    return found


@torch.inference_mode()
def rows(case: Case, members: int, sizes: Sequence[int], device: str, quick: bool) -> Iterator[Row]:
    """Yield the rows of one network and number of members."""
    torch.manual_seed(0)
    nets = [case.build().eval().to(device) for _ in range(members)]
    ensemble = Ensemble([member(net, case, index) for index, net in enumerate(nets)]).eval()
    peers: dict[str, Run] = {LOOP: partial(loop, nets), VMAP: stacked(nets)}
    if installed("torch_uncertainty"):
        peers[WRAPPER] = wrapped(nets)
    for size in sizes:
        images = torch.randn(size, case.channels, case.size, case.size, device=device)
        engines = single_engines(ensemble, images, quick) if members <= ALONE else {}
        planned = {
            name: ensemble.optimize(images, 1.0 if quick else BUDGET, tolerance, cache=False)
            for name, tolerance in ((PLANNER, TOLERANCE), (HALF, LOOSE))
            if name == PLANNER or (members <= ALONE and not quick)
        }
        runs = peers | engines | {name: probabilities(each.infer) for name, each in planned.items()}
        check(runs, images)
        times = in_turns(runs, images, 1 if quick else ROUNDS)
        work = f"{case.name}, {members} members, batch {size}"
        for name, each in planned.items():
            chosen = each.choice.trial.title
            target = case.target if name == PLANNER else case.half
            for peer, wanted in ((LOOP, target), (VMAP, None), (WRAPPER, None)):
                if peer in runs:
                    yield row(f"{work}, {name}: {chosen}", peer, name, wanted, times)
                else:
                    yield absent(QUESTION, f"{work}, {name}: {chosen}", peer, None, "torch-uncertainty")
        for name in engines:
            yield row(f"{work}, {name}", LOOP, name, None, times)


def single_engines(ensemble: Ensemble, images: Tensor, quick: bool) -> dict[str, Run]:
    """Return each engine in float32 that can be prepared within seconds."""
    entries = {name: ENGINES.load(name) for name in (["eager"] if quick else ENGINES.names())}
    return {
        name: probabilities(engine().prepare(ensemble, images))
        for name, engine in entries.items()
        if engine.effort <= EFFORT and not engine().missing(ensemble, images)
    }


def check(runs: dict[str, Run], images: Tensor) -> None:
    """Compare all with the plain loop."""
    expected = runs[LOOP](images)
    for name, run in runs.items():
        difference = (run(images) - expected).abs().max().item()
        assert difference <= (LOOSE if name == HALF else TOLERANCE), f"{name} differs by {difference}"


def member(net: nn.Module, case: Case, index: int) -> Member:
    """Return a network as a member that takes normalized images."""
    return Member.from_module(
        net,
        classes="abcdefghij",
        size=case.size,
        channels=case.channels,
        name=f"net_{index}",
        normalized=True,
    )


def row(work: str, peer: str, own: str, target: float | None, times: Times) -> Row:
    """Return the ratio of a peer's time to ours, with that of processor time in the note."""
    wall, cpu = times
    ratios = [theirs / ours for theirs, ours in zip(wall[peer], wall[own], strict=True)]
    busy = spread([theirs / max(ours, 1e-9) for theirs, ours in zip(cpu[peer], cpu[own], strict=True)])[0]
    note = f"{torch.get_num_threads()} threads; processor time {busy:.2f}x"
    return Row(QUESTION, work, peer, spread(wall[own])[0], *spread(ratios), target, note)


def in_turns(runs: dict[str, Run], images: Tensor, rounds: int) -> Times:
    """Return the seconds of a call of each, and those of the processor, one for each round."""
    repeats = dict[str, int]()
    for name, run in runs.items():
        seconds = _timed(run, images, 1)[0]
        repeats[name] = max(1, round(CALL / seconds))
    wall, cpu = ({name: list[float]() for name in runs} for _ in range(2))
    began = time.perf_counter()
    for done in range(rounds):
        if done >= LEAST and time.perf_counter() - began > SECONDS:
            break
        for name, run in runs.items():
            took, busy = _timed(run, images, repeats[name])
            wall[name].append(took)
            cpu[name].append(busy)
    return wall, cpu


def _timed(run: Run, images: Tensor, repeats: int) -> tuple[float, float]:
    """Return the mean seconds of calls, and those of the processor."""
    start, busy = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        run(images)
    if images.is_cuda:
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / repeats, (time.process_time() - busy) / repeats


def loop(nets: list[nn.Module], images: Tensor) -> Tensor:
    """Return the mean of the probabilities of networks, one after the other."""
    return torch.stack([net(images) for net in nets]).softmax(-1).mean(0)


def probabilities(infer: Run) -> Run:
    """Return a function to probabilities, of one to log-probabilities."""
    return lambda images: infer(images).exp()


def stacked(nets: list[nn.Module]) -> Run:
    """Return the networks as one by `vmap`, as in PyTorch's tutorial."""
    weights, buffers = stack_module_state(nets)
    base = nets[0]

    def one(weight: dict[str, Tensor], buffer: dict[str, Tensor], images: Tensor) -> Tensor:
        return functional_call(base, (weight, buffer), (images,))

    run = vmap(one, in_dims=(0, 0, None), randomness="same")
    return lambda images: run(weights, buffers, images).softmax(-1).mean(0)


def wrapped(nets: list[nn.Module]) -> Run:
    """Return the networks in torch-uncertainty's wrapper."""
    from torch_uncertainty.methods.deep_ensembles import deep_ensembles

    wrapper = deep_ensembles(nets, task="classification").eval()
    return lambda images: wrapper(images).unflatten(0, (len(nets), -1)).softmax(-1).mean(0)


if __name__ == "__main__":
    main(measure, packages=("torch-uncertainty", "onnxruntime", "openvino"), threads=None)
