"""Which one drives the epoch loop, Lightning Fabric or Accelerate: import time and cost of a training step.

Needs both: pip install accelerate lightning-fabric. Prints one table; `--json` prints the figures.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

STATEMENTS = {
    "plain": "import torch",
    "accelerate": "import torch; from accelerate import Accelerator",
    "fabric": "import torch; from lightning_fabric import Fabric",
}
Step = Callable[[torch.Tensor, torch.Tensor], Any]


def import_seconds(repeats: int) -> dict[str, float]:
    """Median seconds of a fresh interpreter that imports each, taken in turns."""
    taken: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for _ in range(repeats + 1):
        for name, statement in STATEMENTS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-W", "ignore", "-c", statement], check=True)
            taken[name].append(time.perf_counter() - start)
    return {name: statistics.median(seconds[1:]) for name, seconds in taken.items()}


def network() -> tuple[nn.Module, torch.optim.Optimizer]:
    """Return a network small enough that the loop around it shows, and its optimiser."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    return net, torch.optim.AdamW(net.parameters(), fused=True)


def plain() -> Step:
    """One step with torch alone."""
    net, optimizer = network()

    def step(x: torch.Tensor, y: torch.Tensor) -> None:
        nn.functional.cross_entropy(net(x), y).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def accelerate() -> Step:
    """The same step through Accelerate."""
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
    """The same step through Lightning Fabric."""
    from lightning_fabric import Fabric

    engine = Fabric(accelerator="cpu", devices=1)
    net, optimizer = engine.setup(*network())

    def step(x: torch.Tensor, y: torch.Tensor) -> None:
        engine.backward(nn.functional.cross_entropy(net(x), y))
        engine.clip_gradients(net, optimizer, max_norm=1.0, error_if_nonfinite=False)
        optimizer.step()
        optimizer.zero_grad()

    return step


def step_microseconds(repeats: int, steps: int = 300) -> dict[str, float]:
    """Median microseconds of one step of each, taken in turns."""
    x, y = torch.randn(32, 1, 8, 8), torch.randint(0, 10, (32,))
    made = {make.__name__: make() for make in (plain, accelerate, fabric)}
    taken: dict[str, list[float]] = {name: [] for name in made}
    for _ in range(repeats + 1):
        for name, step in made.items():
            start = time.perf_counter()
            for _ in range(steps):
                step(x, y)
            taken[name].append((time.perf_counter() - start) / steps * 1e6)
    return {name: statistics.median(values[1:]) for name, values in taken.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    imports, steps = import_seconds(arguments.repeats), step_microseconds(arguments.repeats)
    packages = ("torch", "accelerate", "lightning-fabric")
    versions = {name: importlib.metadata.version(name) for name in packages}
    if arguments.json:
        machine = f"{platform.machine()}, {os.cpu_count()} cores"
        print(json.dumps({"import_s": imports, "step_us": steps, "versions": versions, "machine": machine}))
        return
    print(f"{'':12}{'import':>10}{'over torch':>12}{'step':>12}{'over plain':>12}")
    for name in STATEMENTS:
        over = imports[name] - imports["plain"], steps[name] - steps["plain"]
        print(f"{name:12}{imports[name]:9.2f}s{over[0]:+11.2f}s{steps[name]:10.0f}us{over[1]:+10.0f}us")


if __name__ == "__main__":
    main()
