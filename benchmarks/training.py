"""Training five networks of one architecture: plain loops, TorchEnsemble, torch-uncertainty, and ours.

Each way runs in a process of its own, in turns, once for each seed: 10,000 images of Fashion-MNIST (digits
without its package), 28 x 28 pixels, 3 epochs, batches of 128, AdamW, no augmentation. `fit` is the call that
trains, with imports that it makes itself; `process` is everything from the start of Python.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

from harness import Row, absent, installed, main, spread
from peers.train_five import MEMBERS, run

QUESTION = "training of five"
SCRIPT = Path(__file__).parent / "peers" / "train_five.py"
SEEDS, ROWS, EPOCHS = 5, 10_000, 3
PEERS = {
    "loop": ("plain loop", "torch"),
    "loop_with_loader": ("plain loop with DataLoader", "torch"),
    "voting": ("TorchEnsemble, voting", "torchensemble"),
    "bagging": ("TorchEnsemble, bagging", "torchensemble"),
    "torch_uncertainty": ("torch-uncertainty", "torch_uncertainty"),
    "ours_stacked": ("ours, together: stacked", "torch"),
}
TARGETS = {("MLP", "loop"): 3.0, ("LeNet", "loop"): 1.8, ("MLP", "bagging"): 3.5}
COSTS = {"fit": "fit", "fit_cpu": "fit, processor time", "wall": "process"}
Found = dict[str, list[dict[str, float]]]


def measure(quick: bool, device: str = "cpu") -> list[Row]:
    """Train both networks in all ways on a device."""
    if quick:
        found = {way: [run(way, "MLP", 0, 256, 1)] for way in ("loop", "ours")}
        return rows("MLP", found, "quick")
    networks = ("MLP", "LeNet")
    ways = [way for way, (_, module) in PEERS.items() if installed(module)] + ["ours", "ours_bagging"]
    work = f"{ROWS} images, {EPOCHS} epochs, {SEEDS} seeds"
    return [row for name in networks for row in rows(name, in_turns(name, ways, device), work)]


def in_turns(network: str, ways: list[str], device: str) -> Found:
    """Return what each way found for each seed."""
    found: Found = {way: [] for way in ways}
    for seed in range(SEEDS):
        for way in ways:
            words = [sys.executable, str(SCRIPT), way, network, *map(str, (seed, ROWS, EPOCHS)), device]
            done = subprocess.run(words, check=True, capture_output=True, text=True)
            found[way].append(json.loads(done.stdout.splitlines()[-1]))
    return found


def rows(network: str, found: Found, work: str) -> list[Row]:
    """Return the ratios of each peer's costs to ours: of its bagging to our bagging."""
    listed = []
    for way, (peer, module) in PEERS.items():
        title = f"{MEMBERS} {network}, {work}"
        if way not in found:
            if not installed(module):
                listed.append(absent(QUESTION, title, peer, TARGETS.get((network, way)), module))
            continue
        own = "ours_bagging" if way == "bagging" else "ours"
        for cost, name in COSTS.items():
            if cost not in found[own][0]:  # of a run in this process
                continue
            pairs = zip(found[way], found[own], strict=True)
            ratios = [theirs[cost] / mine[cost] for theirs, mine in pairs]
            seconds = spread([mine[cost] for mine in found[own]])[0]
            target = TARGETS.get((network, way)) if cost == "fit" else None
            note = f"{about(peer, found[way])}; {about('ours', found[own])}" if cost == "fit" else ""
            listed.append(Row(QUESTION, f"{title}, {name}", peer, seconds, *spread(ratios), target, note))
    return listed


def about(name: str, runs: list[dict[str, float]]) -> str:
    """Return mean accuracy and memory of the runs of one way."""
    accuracy = [each["accuracy"] for each in runs]
    deviation = statistics.stdev(accuracy) if len(accuracy) > 1 else 0.0
    text = f"{name} accuracy {statistics.mean(accuracy):.4f} +- {deviation:.4f}"
    peak = statistics.median(each.get("peak_mb", 0.0) for each in runs)
    return f"{text}, {peak:.0f} MB" if peak else text


if __name__ == "__main__":
    main(measure, packages=("torchensemble", "torch-uncertainty"), threads=None)
