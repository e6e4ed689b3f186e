"""Import time and cost per training step of committee's fits on one device, Lightning Fabric and Accelerate.

All are compared with torch alone: the additional time of the import in a new process, and the additional
time of a step of a network that is so small that the overhead is visible. One thread.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import torch
from harness import Row, absent, installed, main, seconds, spread
from torch import nn

from committee.training.fit.one_device import OneDevice

STATEMENTS = {
    "plain": "import torch",
    "one_device": "import torch; from committee.training.fit.one_device import OneDevice",
    "accelerate": "import torch; from accelerate import Accelerator",
    "fabric": "import torch; from lightning_fabric import Fabric",
}
Step = Callable[[torch.Tensor, torch.Tensor], Any]


def network() -> tuple[nn.Module, torch.optim.Optimizer]:
    """Return a network small enough to make the overhead of a step visible, and its optimizer."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    return net, torch.optim.AdamW(net.parameters(), fused=True)


def plain() -> Step:
    """Return a step with torch alone."""
    net, optimizer = network()

    def step(x: torch.Tensor, y: torch.Tensor) -> None:
        nn.functional.cross_entropy(net(x), y).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def one_device() -> Step:
    """Return the same step as fits of committee make it."""
    engine = OneDevice(torch.device("cpu"), "fp32")
    net, optimizer = network()
    return with_engine(engine, engine.setup_module(net), engine.setup_optimizers(optimizer))


def accelerate() -> Step:
    """Return the same step with Accelerate."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    net, optimizer = accelerator.prepare(*network())

    def step(x: torch.Tensor, y: torch.Tensor) -> None:
        accelerator.backward(nn.functional.cross_entropy(net(x), y))
        accelerator.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def fabric() -> Step:
    """Return the same step with Lightning Fabric."""
    from lightning_fabric import Fabric

    engine = Fabric(accelerator="cpu", devices=1)
    return with_engine(engine, *engine.setup(*network()))


def with_engine(engine: Any, net: nn.Module, optimizer: Any) -> Step:
    """Return the step with what has the methods of Fabric."""

    def step(x: torch.Tensor, y: torch.Tensor) -> None:
        engine.backward(nn.functional.cross_entropy(net(x), y))
        engine.clip_gradients(net, optimizer, max_norm=1.0, error_if_nonfinite=False)
        optimizer.step()
        optimizer.zero_grad()

    return step


def import_seconds(name: str) -> float:
    """Return the seconds of a new interpreter that imports one of them."""
    command = [sys.executable, "-W", "ignore", "-c", STATEMENTS[name]]
    return seconds(lambda: subprocess.run(command, check=True))


def step_seconds(step: Step, steps: int = 300) -> float:
    """Return the mean seconds of a step."""
    x, y = torch.randn(32, 1, 8, 8), torch.randint(0, 10, (32,))
    return seconds(lambda: [step(x, y) for _ in range(steps)]) / steps


def measure(quick: bool) -> list[Row]:
    """Measure in alternation; the cost is the difference between consecutive measurements."""
    rounds, makes = 1 if quick else 5, (plain, one_device, fabric, accelerate)
    there = [make for make in makes if make is not accelerate or installed("accelerate")]
    steps = {make.__name__: make() for make in there}
    answers = []
    kinds = [
        ("import", "s", 1.0, import_seconds),
        ("step", "us", 1e6, lambda name: step_seconds(steps[name])),
    ]
    for what, unit, scale, call in kinds[1:] if quick else kinds:
        taken = {name: [] for name in steps}
        for _ in range(rounds + 1):
            for name in steps:
                taken[name].append(scale * call(name))
        for name in [name for name in steps if name != "plain"]:
            more = [a - b for a, b in zip(taken[name][1:], taken["plain"][1:], strict=True)]
            middle, low, high = spread(more)
            answers.append(Row(f"{what}, beyond torch", name, "", middle, low=low, high=high, unit=unit))
    if len(there) < len(makes):
        answers.append(absent("import, beyond torch", "accelerate", "", None, "accelerate"))
    return answers


if __name__ == "__main__":
    main(measure, packages=("lightning-fabric", "accelerate"))
