"""Greedy ensemble selection against the straightforward way: every candidate's mean probability, every round.

Simulated logits of 15 members on 50,000 rows of 100 classes, 100 rounds without early stop. Three ways take
turns, so that a busy machine slows all: the straightforward one, which is given probabilities; ours, which is
given logits and reads them; and ours when the one pass over the logits was made before (as when several
methods are compared). Prints one table; `--json` prints the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from committee.combiners._columns import columns
from committee.combiners.greedy_selection import GreedySelection
from committee.predictions import Predictions

Way = Callable[[], dict[str, float]]


def simulated(members: int, rows: int, classes: int) -> Predictions:
    """Return members that share what they see of the class, each with noise and confidence of its own."""
    random = np.random.default_rng(0)
    labels = random.integers(0, classes, rows)
    shared = random.normal(size=(rows, classes)).astype(np.float32)
    shared[np.arange(rows), labels] += 3.6
    logits = np.empty((members, rows, classes), np.float32)
    for member, sharpness in enumerate(np.linspace(2, 3, members)):
        logits[member] = (shared + 0.5 * random.normal(size=(rows, classes))) * sharpness
    names = [f"member{place:02d}" for place in range(members)]
    return Predictions.from_logits(
        logits, members=names, class_names=[f"class{place}" for place in range(classes)], labels=labels
    )


def straightforward(
    probs: NDArray[np.float32], labels: NDArray[np.int64], metric: str, rounds: int
) -> list[int]:
    """Return the picks of Caruana et al. (2004), each candidate's committee computed in full."""
    total, picks = np.zeros(probs.shape[1:], np.float32), []
    every = np.arange(len(labels))
    for size in range(1, rounds + 1):
        scores = []
        for member in probs:
            mean = (total + member) / size
            right = mean.argmax(axis=1) == labels if metric == "accuracy" else np.log(mean[every, labels])
            scores.append(right.mean(dtype=np.float64))
        picks.append(int(np.argmax(scores)))
        total += probs[picks[-1]]
    return picks


def ways(predictions: Predictions, metric: str, rounds: int) -> dict[str, Way]:
    """Return what is compared; each gives the weights that it found."""
    labels, names = predictions.require_labels("benchmark"), predictions.members
    logs = torch.from_numpy(predictions.logits).log_softmax(dim=2)
    probs = logs.exp().numpy()
    rule = GreedySelection(metric=metric, rounds=rounds, patience=rounds)

    def theirs() -> dict[str, float]:
        picks = straightforward(probs, labels, metric, rounds)
        return dict(zip(names, np.bincount(picks, minlength=len(names)) / rounds, strict=True))

    def ours(known: bool) -> Way:
        # What one pass found belongs to an object: another one is read anew.
        return lambda: rule.clone().fit(predictions if known else replace(predictions)).member_weights()

    columns(predictions)
    return {"straightforward": theirs, "from logits": ours(False), "logits read before": ours(True)}


def extra_memory(way: Way) -> float:
    """Return the most memory, in MB, that one call holds beyond what was there."""
    tracemalloc.start()
    way()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6


def measure(predictions: Predictions, metric: str, rounds: int, repeats: int) -> dict[str, Any]:
    """Time all ways in turns; ratios are of neighbours in time."""
    compared = ways(predictions, metric, rounds)
    seconds: dict[str, list[float]] = {name: [] for name in compared}
    for _ in range(repeats):
        for name, way in compared.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    base = seconds["straightforward"]
    return {
        name: {
            "seconds": statistics.median(taken),
            "ratio": sorted(first / second for first, second in zip(base, taken, strict=True)),
            "extra_mb": extra_memory(compared[name]) if name != "straightforward" else None,
        }
        for name, taken in seconds.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=15)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--metrics", nargs="+", default=["log_loss", "accuracy"])
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    predictions = simulated(arguments.members, arguments.rows, arguments.classes)
    results = {
        metric: measure(predictions, metric, arguments.rounds, arguments.repeats)
        for metric in arguments.metrics
    }
    about = {
        "machine": platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()[0],
        "python": platform.python_version(), "numpy": np.__version__, "torch": torch.__version__,
        **{key: getattr(arguments, key) for key in ("members", "rows", "classes", "rounds", "repeats")},
    }  # fmt: skip
    if arguments.json:
        print(json.dumps({"about": about, "results": results}, indent=1))
        return
    print(", ".join(f"{key} {value}" for key, value in about.items()))
    for metric, rows in results.items():
        for name, row in rows.items():
            low, middle, high = row["ratio"][0], statistics.median(row["ratio"]), row["ratio"][-1]
            memory = "" if row["extra_mb"] is None else f"{row['extra_mb']:8.0f} MB extra"
            ratio = f"{middle:7.1f}x [{low:.1f}, {high:.1f}]"
            print(f"{metric:9} {name:19} {row['seconds']:9.3f} s   {ratio}{memory}")


if __name__ == "__main__":
    main()
