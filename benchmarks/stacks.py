"""Networks of one architecture as one (`Stack`): inference and training, against a plain loop and `vmap`.

A step is the forward pass of each network on its own batch, the backward pass, and a fused AdamW. All ways
are called in turns, with one thread and with two; a ratio is that of calls that follow each other. The rows
of single convolutions are why those that read more weights than pixels run one after the other on a CPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from harness import Row, main, spread
from peers.small_networks import MLP, LeNet, SimpleCNN, resnet18, vit_tiny
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional

from committee.models.stacked import Stack


def small_mlp() -> nn.Module:
    """Return a perceptron of 64-64-10, of which the time is mostly that of calls."""
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


LOOP, VMAP, STACK, GROUPS = "plain loop", "vmap", "stack", "in groups"
CASES: tuple[tuple[str, Callable[[], nn.Module], tuple[int, ...], int, int], ...] = (
    ("MLP", MLP, (1, 28, 28), 64, 128),
    ("MLP 64-64-10", small_mlp, (64,), 32, 32),
    ("LeNet", LeNet, (1, 28, 28), 64, 128),
    ("SimpleCNN", SimpleCNN, (1, 28, 28), 64, 64),
    ("resnet18", resnet18, (3, 64, 64), 16, 8),
    ("ViT-tiny", vit_tiny, (3, 96, 96), 16, 8),
)
"""Name, network, shape of an image, and the batch sizes of inference and of training."""
CONVOLUTIONS = ((64, 16), (128, 8), (256, 4), (512, 2))
"""Channels and height of the convolutions in resnet18 at 64 pixels."""
ROUNDS, LEAST, SECONDS, CALL = 9, 3, 10.0, 0.05
"""Rounds of a measurement; after so many seconds, the least number of them; seconds of repeated calls."""
Way = Callable[[], object]


def measure(quick: bool) -> list[Row]:
    """Measure all networks, with 5 and 10 members, and with one thread and two."""
    threads = torch.get_num_threads()
    try:
        return list(_rows(quick))
    finally:
        torch.set_num_threads(threads)


def _rows(quick: bool) -> Iterator[Row]:
    for count in (1,) if quick else (1, 2):
        torch.set_num_threads(count)
        for channels, height in CONVOLUTIONS[:1] if quick else CONVOLUTIONS:
            work = (
                f"convolutions of 5 networks, {channels} channels, 8 images of {height} px, {count} threads"
            )
            yield from compared(work, convolutions(5, channels, height), quick, LOOP, [GROUPS])
        for name, build, shape, batch, of_step in CASES[1:2] if quick else CASES:
            for members in (2,) if quick else (5, 10):
                title = f"{name}, {members} networks, {count} threads"
                for size in {1, batch} if not quick else {2}:
                    ways = inference(build, members, torch.randn(size, *shape))
                    yield from compared(f"inference, {title}, batch {size}", ways, quick)
                ways = training(build, members, torch.randn(members, of_step, *shape))
                yield from compared(f"training step, {title}, batch {of_step}", ways, quick)


def built(build: Callable[[], nn.Module], members: int) -> list[nn.Module]:
    """Return equal networks for each way."""
    torch.manual_seed(0)
    return [build() for _ in range(members)]


def inference(build: Callable[[], nn.Module], members: int, images: Tensor) -> dict[str, Way]:
    """Return the ways to compute the outputs of all networks for one batch."""
    nets, own = ([net.eval() for net in built(build, members)] for _ in range(2))
    stack, mapped, state = Stack(own, images), _mapped(nets, shared=True), stack_module_state(nets)
    ways = {
        LOOP: lambda: torch.stack([net(images) for net in nets]),
        VMAP: lambda: mapped(*state, images),
        STACK: lambda: stack(images, shared=True),
    }
    return {name: torch.inference_mode()(way) for name, way in ways.items()}


def training(build: Callable[[], nn.Module], members: int, images: Tensor) -> dict[str, Way]:
    """Return the ways to make a step of all networks, each on its batch."""
    nets, own = built(build, members), built(build, members)
    classes = torch.randint(0, 10, images.shape[:2])
    stack, (parameters, buffers) = Stack(own, images[0]), stack_module_state(nets)
    mapped = _mapped(nets, shared=False)
    optimizers = [torch.optim.AdamW(net.parameters(), fused=True) for net in nets]

    def loop() -> None:
        for net, optimizer, x, y in zip(nets, optimizers, images, classes, strict=True):
            _step(optimizer, functional.cross_entropy(net(x), y))

    def step(optimizer: torch.optim.Optimizer, forward: Callable[[], Tensor]) -> None:
        loss = functional.cross_entropy(forward().flatten(0, 1), classes.flatten())
        _step(optimizer, members * loss)

    of_stack = torch.optim.AdamW(stack.parameters(), fused=True)
    of_vmap = torch.optim.AdamW(parameters.values(), fused=True)
    return {
        LOOP: loop,
        VMAP: partial(step, of_vmap, lambda: mapped(parameters, buffers, images)),
        STACK: partial(step, of_stack, lambda: stack(images, shared=False)),
    }


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def _mapped(nets: list[nn.Module], *, shared: bool) -> Callable[..., Tensor]:
    """Return torch's own way: `vmap` over stacked parameters and buffers."""

    def forward(parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(nets[0], (parameters, buffers), (x,))

    return vmap(forward, in_dims=(0, 0, None if shared else 0), randomness="different")


def convolutions(members: int, channels: int, height: int) -> dict[str, Way]:
    """Return the ways to convolve with the weights of several networks."""
    images = torch.randn(members, 8, channels, height, height)
    weights = torch.randn(members, channels, channels, 3, 3)
    pixels = images.transpose(0, 1).flatten(1, 2).contiguous(memory_format=torch.channels_last)
    filters = weights.flatten(0, 1)

    def loop() -> object:
        pairs = zip(images, weights, strict=True)
        return torch.stack([functional.conv2d(*pair, padding=1) for pair in pairs])

    return {LOOP: loop, GROUPS: lambda: functional.conv2d(pixels, filters, padding=1, groups=members)}


def compared(
    work: str, ways: dict[str, Way], quick: bool, own: str = STACK, peers: Sequence[str] = (LOOP, VMAP)
) -> Iterator[Row]:
    """Yield the ratios of the time of the peers to that of one way."""
    repeats = {name: 1 if quick else max(1, round(CALL / _timed(way, 2)[0])) for name, way in ways.items()}
    times, began = list[dict[str, tuple[float, float]]](), time.perf_counter()
    while len(times) < (1 if quick else ROUNDS):
        times.append({name: _timed(way, repeats[name]) for name, way in ways.items()})
        if len(times) >= LEAST and time.perf_counter() - began > SECONDS:
            break
    seconds = spread([each[own][0] for each in times])[0]
    for peer in peers:
        ratios = [each[peer][0] / each[own][0] for each in times]
        busy = spread([each[peer][1] / max(each[own][1], 1e-9) for each in times])[0]
        yield Row("stack", work, peer, seconds, *spread(ratios), note=f"processor time {busy:.2f}x")


def _timed(way: Way, repeats: int) -> tuple[float, float]:
    """Return the seconds of a call, and those of the processor."""
    began, busy = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        way()
    return (time.perf_counter() - began) / repeats, (time.process_time() - busy) / repeats


if __name__ == "__main__":
    main(measure, packages=("timm",), threads=None)
