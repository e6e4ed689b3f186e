"""Training five networks of one architecture: plain loops, TorchEnsemble, torch-uncertainty, and ours.

Each way has a process of its own, which trains when its turn comes, so that only one is at work: for each
seed, all ways one after the other. `fit` is the call that trains, in a process that has trained before;
`start` is everything before that, from the start of Python: imports, and a fit of a few images. The images
are 28 x 28 pixels of Fashion-MNIST (digits without its package); 3 epochs, batches of 128, AdamW.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

from harness import Row, absent, installed, main, spread
from peers.train_five import MEMBERS, run
from scipy.stats import sem, t

QUESTION = "training of five"
SCRIPT = Path(__file__).parent / "peers" / "train_five.py"
SEEDS, EPOCHS = 5, 3
ROWS = {"MLP": 10_000, "LeNet": 5_000}
PEERS = {
    "loop": ("plain loop", "torch"),
    "loop_with_loader": ("plain loop with DataLoader", "torch"),
    "voting": ("TorchEnsemble, voting", "torchensemble"),
    "bagging": ("TorchEnsemble, bagging", "torchensemble"),
    "torch_uncertainty": ("torch-uncertainty", "torch_uncertainty"),
    "ours_stacked": ("ours, together: stacked", "torch"),
}
OURS = ("ours", "ours_bagging")
TARGETS = {("MLP", "loop"): 3.0, ("LeNet", "loop"): 1.8, ("MLP", "bagging"): 3.5}
COSTS = {"fit": "fit", "fit_cpu": "fit, processor time"}
Found = dict[str, list[dict[str, float]]]


def measure(quick: bool, device: str = "cpu") -> list[Row]:
    """Train both networks in all ways on a device."""
    if quick:
        found = {way: [run(way, "MLP", 0, 256, 1)] for way in ("loop", "ours")}
        return rows("MLP", found, "quick")
    with contextlib.ExitStack() as ends:
        ways = [way for way, (_, module) in PEERS.items() if installed(module)] + [*OURS]
        trainers = {way: ends.enter_context(Trainer(way, device)) for way in ways}
        listed = []
        for name, count in ROWS.items():
            found = in_turns(name, trainers)
            listed += rows(name, found, f"{count} images, {EPOCHS} epochs, {SEEDS} seeds")
        return listed + starts(trainers)


class Trainer:
    """A process that trains in one way whenever it is asked to.

    Attributes
    ----------
    start : dict of str to float
        Seconds and processor time from the start of Python to the end of a first, small fit.
    """

    def __init__(self, way: str, device: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT), way, device],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.start = self._answer()

    def fit(self, network: str, seed: int) -> dict[str, float]:
        """Train; return seconds, processor time, accuracy, and the memory of the process so far."""
        print(network, seed, ROWS[network], EPOCHS, file=self._stream(self._process.stdin), flush=True)
        return self._answer()

    def __enter__(self) -> Trainer:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> dict[str, float]:
        for line in self._stream(self._process.stdout):
            if line.startswith("{"):  # Libraries print other lines.
                found: dict[str, float] = json.loads(line)
                return found
        raise RuntimeError(f"{self._process.args} ended")

    @staticmethod
    def _stream(pipe: IO[str] | None) -> Any:
        assert pipe is not None
        return pipe


def in_turns(network: str, trainers: dict[str, Trainer]) -> Found:
    """Return what each way found for each seed."""
    found: Found = {way: [] for way in trainers}
    for seed in range(SEEDS):
        for way, trainer in trainers.items():
            found[way].append(trainer.fit(network, seed))
    return found


def rows(network: str, found: Found, work: str) -> list[Row]:
    """Return the ratios of each peer's costs to ours, of its bagging to our bagging, and the accuracies."""
    listed = []
    for way, (peer, module) in PEERS.items():
        title = f"{MEMBERS} {network}, {work}"
        if way not in found:
            if not installed(module):
                listed.append(absent(QUESTION, title, peer, TARGETS.get((network, way)), module))
            continue
        theirs, mine = found[way], found[own(way)]
        for cost, name in COSTS.items():
            ratios = [one[cost] / other[cost] for one, other in zip(theirs, mine, strict=True)]
            seconds = statistics.median(each[cost] for each in mine)
            target = TARGETS.get((network, way)) if cost == "fit" else None
            note = f"{about(peer, theirs)}; {about('ours', mine)}" if cost == "fit" else ""
            listed.append(Row(QUESTION, f"{title}, {name}", peer, seconds, *spread(ratios), target, note))
        listed.append(equality(title, peer, theirs, mine))
    return listed


def own(way: str) -> str:
    """Return our way that a peer is compared with."""
    return "ours_bagging" if way == "bagging" else "ours"


def equality(title: str, peer: str, theirs: list[dict[str, float]], mine: list[dict[str, float]]) -> Row:
    """Return by how many points our accuracy is higher, with its interval of 95% over seeds."""
    apart = [100 * (a["accuracy"] - b["accuracy"]) for a, b in zip(mine, theirs, strict=True)]
    mean = statistics.mean(apart)
    half = sem(apart) * t.ppf(0.975, len(apart) - 1) if len(apart) > 1 else 0.0
    work = f"{title}, accuracy of ours less that of {peer}"
    return Row(QUESTION, work, "", mean, low=mean - half, high=mean + half, unit="points")


def starts(trainers: dict[str, Trainer]) -> list[Row]:
    """Return how much longer a process of each peer takes until it has trained a few images."""
    listed = []
    for way, trainer in trainers.items():
        if way in PEERS and way != "ours_stacked":
            mine = trainers[own(way)].start
            ratio = trainer.start["cpu"] / mine["cpu"]
            work = "start: imports and a fit of 256 images, processor time"
            listed.append(Row(QUESTION, work, PEERS[way][0], mine["cpu"], ratio, ratio, ratio))
    return listed


def about(name: str, runs: list[dict[str, float]]) -> str:
    """Return mean accuracy and memory of the runs of one way."""
    accuracy = [each["accuracy"] for each in runs]
    deviation = statistics.stdev(accuracy) if len(accuracy) > 1 else 0.0
    text = f"{name} accuracy {statistics.mean(accuracy):.4f} +- {deviation:.4f}"
    peak = max(each.get("peak_mb", 0.0) for each in runs)
    return f"{text}, {peak:.0f} MB" if peak else text


if __name__ == "__main__":
    main(measure, packages=("torchensemble", "torch-uncertainty"), threads=None)
