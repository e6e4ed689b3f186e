"""All metrics but the AUROC in one pass, against scikit-learn and torchmetrics: 50,000 rows of 100 classes.

Each round times all of them in turn, so that the ratio of a round is fair on a machine that others use too;
the table has the median ratio and its quartiles. torchmetrics takes part where it is installed: pip install
torchmetrics. `--json` prints the figures.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import metrics as sk

from committee.metrics import METRICS, evaluate

NAMES = [name for name in METRICS if name != "auroc"]
Figures = dict[str, float]


def draw(rows: int, classes: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return log-probabilities of a model that is right about half of the time, and labels."""
    random = np.random.default_rng(0)
    labels = random.integers(0, classes, rows)
    logits = 2 * random.standard_normal((rows, classes), np.float32)
    logits[np.arange(rows), labels] += 5
    return torch.from_numpy(logits).log_softmax(dim=1).numpy(), labels


def with_sklearn(log_probs: NDArray[np.float32], labels: NDArray[np.int64]) -> Callable[[], Figures]:
    """Return a call that computes the metrics which scikit-learn has."""

    def call() -> Figures:
        probabilities, predicted = np.exp(log_probs), log_probs.argmax(axis=1)
        found = {
            "accuracy": sk.accuracy_score(labels, predicted),
            "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
            "log_loss": sk.log_loss(labels, probabilities),
        }
        for average in ("macro", "weighted"):
            three = sk.precision_recall_fscore_support(labels, predicted, average=average, zero_division=0)
            for name, value in zip(("precision", "recall", "f1"), three[:3], strict=True):
                found[f"{name}_{average}"] = value
        return found

    return call


def with_torchmetrics(
    log_probs: NDArray[np.float32], labels: NDArray[np.int64], shared: bool
) -> Callable[[], Figures]:
    """Return a call that computes those which torchmetrics has; `shared` counts are counted once for all."""
    from torchmetrics import MetricCollection
    from torchmetrics import classification as tm

    classes, tensors = log_probs.shape[1], (torch.from_numpy(log_probs).exp(), torch.from_numpy(labels))
    kinds = {"precision": tm.MulticlassPrecision, "recall": tm.MulticlassRecall, "f1": tm.MulticlassF1Score}
    named: dict[str, Any] = {
        "accuracy": tm.MulticlassAccuracy(classes, average="micro"),
        "balanced_accuracy": tm.MulticlassAccuracy(classes, average="macro"),
        "ece": tm.MulticlassCalibrationError(classes, n_bins=15),
    }
    for average in ("macro", "weighted"):
        for name, kind in kinds.items():
            named[f"{name}_{average}"] = kind(classes, average=average)
    collection = MetricCollection(named, compute_groups=shared)

    def call() -> Figures:
        collection.reset()
        collection.update(*tensors)
        return {name: float(value) for name, value in collection.compute().items()}

    return call


def measure(calls: dict[str, Callable[[], Figures]], rounds: int) -> dict[str, dict[str, Any]]:
    """Time the calls in turn; ratios are to `committee` in the same round."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            taken[name].append(1000 * (time.perf_counter() - start))
    ours = taken["committee"][1:]
    result = {}
    for name, all_times in taken.items():
        times = all_times[1:]
        low, middle, high = statistics.quantiles([a / b for a, b in zip(times, ours, strict=True)], n=4)
        result[name] = {"ms": statistics.median(times), "ratio": middle, "quartiles": [low, high]}
    return result


def check(calls: dict[str, Callable[[], Figures]]) -> None:
    """Fail unless all compute the same numbers."""
    ours = calls["committee"]()
    for name, call in calls.items():
        for metric, value in call().items():
            if abs(value - ours[metric]) > 1e-4:
                raise SystemExit(f"{name}: {metric} is {value:.6f}, committee has {ours[metric]:.6f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    data = draw(arguments.rows, arguments.classes)
    calls: dict[str, Callable[[], Figures]] = {
        "committee": lambda: evaluate(*data, NAMES), "scikit-learn": with_sklearn(*data)
    }  # fmt: skip
    packages = ["numpy", "scikit-learn", "torch"]
    try:
        calls["torchmetrics, shared"] = with_torchmetrics(*data, shared=True)
        calls["torchmetrics"] = with_torchmetrics(*data, shared=False)
        packages.append("torchmetrics")
    except ImportError:
        pass
    check(calls)
    found = measure(calls, arguments.rounds)
    versions = {name: importlib.metadata.version(name) for name in packages}
    python = f"Python {platform.python_version()}"
    machine = f"{platform.machine()} {platform.system()}, {os.cpu_count()} cores, {python}"
    facts = {"machine": machine, "versions": versions, "rows": arguments.rows, "classes": arguments.classes}
    if arguments.json:
        print(json.dumps({**facts, "times": found}, indent=2))
        return
    print(f"{arguments.rows} x {arguments.classes}, one thread; {machine}; "
          + ", ".join(f"{name} {version}" for name, version in versions.items()))  # fmt: skip
    print(f"{'':22}{'ms':>8}{'ratio':>8}  quartiles")
    for name, each in found.items():
        low, high = each["quartiles"]
        print(f"{name:22}{each['ms']:8.1f}{each['ratio']:8.1f}  {low:.1f} to {high:.1f}")


if __name__ == "__main__":
    main()
