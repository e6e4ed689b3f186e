"""How much faster than a plain loop inference can be: at the rate of the fastest product of this processor.

A pass takes at least as long as its operations at the highest rate of any matrix product or convolution that
is measured here, and as reading its weights once. What an engine gets beyond that needs fewer operations
(Winograd's convolutions) or a smaller type.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch
from harness import Row, main, spread
from peers.small_networks import MLP, SimpleCNN, resnet18, vit_tiny
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

QUESTION, LOOP = "limit of inference", "plain loop"
MEMBERS = 5
CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, int]]] = {
    "SimpleCNN 28 px": (SimpleCNN, (1, 28)),
    "MLP 784-256-256-10": (MLP, (1, 28)),
    "resnet18 64 px": (resnet18, (3, 64)),
    "ViT-tiny 96 px": (vit_tiny, (3, 96)),
}
TYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
SIDES = (512, 1024)
"""Sides of the matrices that are multiplied."""
CONVOLUTIONS = ((64, 16), (256, 4))
"""Channels, and side of the images, of the convolutions."""


@torch.inference_mode()
def measure(quick: bool) -> list[Row]:
    """Measure the rates of the processor and the plain loops."""
    rounds = 1 if quick else 9
    rates = {name: _flops_a_second(kind, rounds) for name, kind in TYPES.items()}
    rows = [Row(QUESTION, f"{name}, 1 thread", "", rates[name] / 1e9, unit="GFLOPS") for name in TYPES]
    cases = dict(list(CASES.items())[1:2]) if quick else CASES
    for name, (build, (channels, side)) in cases.items():
        nets = [build().eval() for _ in range(MEMBERS)]
        for batch in (1, 64):
            images = torch.randn(batch, channels, side, side)
            with FlopCounterMode(display=False) as counter:
                _loop(nets, images)
            loop = _seconds(partial(_loop, nets, images), rounds)
            for kind, rate in rates.items():
                least = [counter.get_total_flops() / rate, _reading(nets, TYPES[kind], rounds)]
                ratio, low, high = spread([each / max(least) for each in loop])
                bound = "operations" if least[0] > least[1] else "reading weights"
                work = f"{MEMBERS} x {name}, batch {batch}, {kind}, 1 thread"
                rows.append(Row(QUESTION, work, LOOP, max(least), ratio, low, high, note=f"limit: {bound}"))
    return rows


def _loop(nets: list[nn.Module], images: Tensor) -> Tensor:
    return torch.stack([net(images) for net in nets]).softmax(-1).mean(0)


def _flops_a_second(kind: torch.dtype, rounds: int) -> float:
    """Return the highest rate of operations."""
    found = []
    for side in SIDES:
        first, second = (torch.randn(side, side).to(kind) for _ in range(2))
        found.append(2 * side**3 / min(_seconds(partial(torch.mm, first, second), rounds)))
    for channels, side in CONVOLUTIONS:
        layer = nn.Conv2d(channels, channels, 3, padding=1).to(kind)
        images = torch.randn(64, channels, side, side).to(kind)
        operations = 2 * 64 * side**2 * channels**2 * 9
        found.append(operations / min(_seconds(partial(layer, images), rounds)))
    return max(found)


def _reading(nets: list[nn.Module], kind: torch.dtype, rounds: int) -> float:
    """Return the seconds that reading all weights takes."""
    weights = sum(each.numel() for net in nets for each in net.parameters())
    words = torch.zeros(weights * kind.itemsize // 4, dtype=torch.float32)
    return min(_seconds(words.sum, rounds))


def _seconds(call: Callable[[], object], rounds: int) -> list[float]:
    """Return the processor time of a call, in several rounds."""
    call()
    found = []
    for _ in range(rounds):
        start, calls = time.process_time(), 0
        while not calls or time.process_time() - start < 0.01:
            call()
            calls += 1
        found.append((time.process_time() - start) / calls)
    return found


if __name__ == "__main__":
    main(measure)
