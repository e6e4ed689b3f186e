"""CPU time before and beside training: imports, and the fixed cost of a run of five MLPs.

Each is the CPU time of a new process beyond that of one that imports torch (of the command line, which does
not import it: all). The run is `committee train` of five MLPs for one epoch on 100 images of 28 x 28: two
steps of each are all of it that is training. One thread.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from harness import Row, main, spread

LIGHT = "import of the command line"
RUN = "a run of 5 MLPs, train only"
IMPORTS = {
    LIGHT: "import committee.cli.main",
    "import of what fits need": "import committee.pipeline.run, committee.pipeline.stages.train",
    "import of timm for fits": "import committee.backbones.sources.timm",
    "import timm": "import torch, timm",
    "import lightning_fabric": "import torch, lightning_fabric",
}
RECIPE = """
dataset: {path: data.npz, channels: 1, img_size: 28, batch_size: 64, fit: squash}
device: cpu
workers: 1
training: {folds: 0, epochs: 1, augment: none}
models: [{name: "python:five:mlp", as: mlp, seeds: [1, 2, 3, 4, 5]}]
"""
MLP = """
from torch import nn

def mlp(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, classes))
"""


def cpu_seconds(words: list[str], folder: Path) -> float:
    """Return the CPU seconds of a new Python process."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    before = os.times()
    subprocess.run(
        [sys.executable, "-W", "ignore", *words],
        check=True,
        cwd=folder,
        env=environment | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
    )
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def measure(quick: bool) -> list[Row]:
    """Measure in alternation; the cost is the difference between consecutive measurements."""
    rounds, rng = 1 if quick else 5, np.random.default_rng(0)
    programs = {name: ["-c", statement] for name, statement in IMPORTS.items() if not quick or name == LIGHT}
    found = {name: list[float]() for name in (*programs, *([] if quick else [RUN]))}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
        (folder / "five.py").write_text(MLP, encoding="utf-8")
        images = rng.integers(0, 256, (100, 28, 28), dtype=np.uint8)
        np.savez(folder / "data.npz", images=images, labels=np.arange(100) % 10)
        for number in range(rounds):
            train = ["-m", "committee", "train", "recipe.yaml", "--store", f"store_{number}"]
            torch = 0.0 if quick else cpu_seconds(["-c", "import torch"], folder)
            for name, times in found.items():
                times.append(cpu_seconds(programs.get(name, train), folder) - torch * (name != LIGHT))
    rows = []
    for name, times in found.items():
        middle, low, high = spread(times)
        target = 1.5 if name == RUN else None
        rows.append(Row("fixed cost", name, "", middle, low=low, high=high, target=target))
    return rows


if __name__ == "__main__":
    main(measure)
