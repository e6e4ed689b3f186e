"""All that a GPU is for, in at most ten minutes: inference, training, the main job, Fashion-MNIST whole.

Without a GPU, nothing is measured; `--quick` runs the same code with tiny sizes on the CPU.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import main_job
import torch
from harness import Row, main
from peers.small_networks import FASHION

import inference
import training

QUESTION = "on a GPU"
EXAMPLE = Path(__file__).parents[1] / "examples" / "fashion_mnist"
AIM = 0.954
"""Accuracy of one network with less than a million parameters on the test split."""
TARGETS = {"SimpleCNN": 5.0, "MLP": 4.0, "LeNet": 4.0}


def measure(quick: bool) -> list[Row]:
    """Measure all of it; without a GPU, return a row that says so."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not quick:
        return [Row(QUESTION, "all of it", "", None, note="not measured: there is no GPU")]
    with mock.patch.multiple(inference, BUDGET=10.0, SECONDS=3.0), mock.patch.multiple(training, SEEDS=2):
        rows = inference.measure(quick, device) + training.measure(quick, device)
    with mock.patch.multiple(main_job, SEEDS=1):
        rows += main_job.measure(quick, device)
    return [*rows, *fashion_whole(quick)]


def fashion_whole(quick: bool) -> list[Row]:
    """Train on all of Fashion-MNIST by `whole.yaml`; return error rates and seconds."""
    if not FASHION.is_dir():
        return [Row("Fashion-MNIST", "whole", "", None, note="dataset-fashion-mnist is not installed")]
    counts = ("60", "20") if quick else ("60000", "10000")
    with tempfile.TemporaryDirectory() as name:
        data, store = Path(name) / "data", Path(name) / "store"
        _python(str(EXAMPLE / "prepare.py"), "--out", str(data), "--train", counts[0], "--test", counts[1])
        start = time.perf_counter()
        few = [f"training.{key}=1" for key in ("epochs", "warmup_epochs")] + ["distillation.epochs=1"]
        words = [word for each in (f"dataset.path={data}", *few * quick) for word in ("--set", each)]
        recipe = str(EXAMPLE / "whole.yaml")
        _python("-m", "committee", "run", recipe, "--quiet", "--store", str(store), *words)
        took = time.perf_counter() - start
        board = _python("-m", "committee", "leaderboard", "--json", "--store", str(store))
    return [
        Row("Fashion-MNIST", f"{counts[0]} images, all", "", took),
        *_errors(json.loads(board), counts[0]),
    ]


def _errors(board: list[dict[str, Any]], rows: str) -> list[Row]:
    """Return the error rate of each model on the test split; the aim is one of a small single network."""
    return [
        Row(
            "Fashion-MNIST",
            f"{rows} images, {model['name']}, {model['parameters'] / 1e6:.2f} M parameters",
            "",
            1 - model["metrics"]["accuracy"]["value"],
            target=1 - AIM if model["parameters"] < 1e6 else None,
            unit="error rate",
        )
        for model in board
    ]


def _python(*words: str) -> str:
    """Run Python with the example's builder on its path; return what it prints."""
    path = os.pathsep.join(filter(None, (str(EXAMPLE), os.environ.get("PYTHONPATH"))))
    command, environment = [sys.executable, *words], {**os.environ, "PYTHONPATH": path}
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout


if __name__ == "__main__":
    main(measure, packages=("torchensemble", "torch-uncertainty"), threads=None)
