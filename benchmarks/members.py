"""Tutorials of TorchEnsemble and torch-uncertainty, and the same with `fit_members`; its fixed cost.

The tutorials train LeNets on 10,000 images of Fashion-MNIST (digits without its package), 5 epochs, batches
of 128. Each runs in a process of its own, in turns; the time is that of everything after the data is loaded,
imports included, and accuracies are those of the test split. The fixed cost is what a fit of five perceptrons
on two batches takes after `import torch`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from harness import Row, absent, installed, main, spread
from peers.tutorials import run

QUESTION = "members in memory"
SCRIPT = Path(__file__).parent / "peers" / "tutorials.py"
PEERS = {"torchensemble": "TorchEnsemble", "torch_uncertainty": "torch-uncertainty"}
ROWS, EPOCHS, ROUNDS, FIXED = 10_000, 5, 3, 1.5
Found = list[dict[str, float]]


def measure(quick: bool) -> list[Row]:
    """Run the tutorials in turns, and then the smallest fit."""
    if quick:
        mine = [run("torchensemble_ours", 64, 1)]
        return [_costs("quick", "TorchEnsemble", mine, mine, None), _fixed([run("fixed", 256, 1)])]
    rows = []
    for module, peer in PEERS.items():
        title = f"tutorial of {peer}, {ROWS} images, {EPOCHS} epochs"
        if not installed(module):
            rows.append(absent(QUESTION, title, peer, 1.0, module))
            continue
        theirs, mine = Found(), Found()
        for _ in range(ROUNDS):
            theirs.append(_in_process(module))
            mine.append(_in_process(f"{module}_ours"))
        rows.append(_costs(title, peer, theirs, mine, 1.0))
    return [*rows, _fixed([_in_process("fixed") for _ in range(ROUNDS)])]


def _in_process(way: str) -> dict[str, float]:
    words = [sys.executable, str(SCRIPT), way, str(ROWS), str(EPOCHS)]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _costs(title: str, peer: str, theirs: Found, mine: Found, target: float | None) -> Row:
    ratios = spread([one["seconds"] / other["seconds"] for one, other in zip(theirs, mine, strict=True)])
    busy = spread([one["cpu"] / other["cpu"] for one, other in zip(theirs, mine, strict=True)])[0]
    facts = "; ".join(f"{who} {_facts(runs)}" for who, runs in ((peer, theirs), ("ours", mine)))
    seconds = spread([each["seconds"] for each in mine])[0]
    return Row(QUESTION, title, peer, seconds, *ratios, target, f"processor time {busy:.2f}x; {facts}")


def _facts(runs: Found) -> str:
    scores = (f"{name} {runs[0][name]:.4f}" for name in ("accuracy", "aurc", "ece") if name in runs[0])
    return ", ".join([f"{runs[0]['lines']:g} lines", *scores])


def _fixed(runs: Found) -> Row:
    seconds, low, high = spread([each["seconds"] for each in runs])
    note = f"processor time {spread([each['cpu'] for each in runs])[0]:.2f} s"
    title = "fixed cost of fit_members, five perceptrons, beyond import torch"
    return Row(QUESTION, title, "", seconds, None, low, high, FIXED, note)


if __name__ == "__main__":
    main(measure, packages=("torchensemble", "torch-uncertainty"), threads=None)
