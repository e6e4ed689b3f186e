"""Time and memory of each rule as members, rows and classes grow.

Each size is measured in a process of its own. The time is processor time of the fit on logits in memory,
which depends little on other programs; the memory is what the process needs in addition to the logits at its
peak, as Linux reports it. `score_all` fits and scores four cheap rules. Logits have at most 400 MB; one
thread.

A finished run is then repeated, and the reads of its files for hashes are counted, with what the process
remembers while it holds the lock of the store, and without.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from harness import Row, main
from PIL import Image
from sklearn.datasets import load_digits

from committee.combiners.base import build
from committee.pipeline.run import run as run_recipe
from committee.pipeline.shared import build as build_stage
from committee.pipeline.stages import evaluate
from committee.predictions.table import Predictions
from committee.recipe.load import load_recipe
from committee.recipe.model import Recipe
from committee.scoring.scores import score_all
from committee.store import hashes, lock
from committee.store.layout import Store

SIZES = [
    *[(members, 10_000, 10) for members in (5, 20, 50, 200)],
    *[(10, rows, 10) for rows in (1_000, 10_000, 100_000, 1_000_000)],
    *[(10, 10_000, classes) for classes in (2, 100, 1_000)],
    (10, 1_000, 10_000),
    (5, 200, 100_000),
]
QUICK = [(5, 400, 4), (3, 100, 30)]
RULES = {
    "weighted": {"combiner": "weighted"},
    "weighted, logit": {"combiner": "weighted", "space": "logit"},
    "weighted, brier": {"combiner": "weighted", "metric": "brier"},
    "greedy, log-loss": {"combiner": "greedy_selection"},
    "greedy, accuracy": {"combiner": "greedy_selection", "metric": "accuracy"},
    "pruned": {"combiner": "pruned"},
    "cascade": {"combiner": "cascade"},
    "stacking_lr": {"combiner": "stacking_lr"},
    "score_all": {},
}
QUICK_RULES = ("weighted", "greedy, accuracy")
SETTINGS = [
    "dataset.img_size=32",
    "dataset.num_workers=0",
    "device=cpu",
    "training={folds: 2, epochs: 1, warmup_epochs: 0, lr: 1e-2, pretrained: false}",
    "backbones.include=[timm:test_resnet, timm:test_convnext]",
    "exports.formats=[state_dict]",
]
LONGEST = 20.0
"""Seconds; a case with a longer estimate is left out."""
MOST_SCORED = 10**8
"""Largest number of logits of `score_all`, whose intervals need several passes for each rule."""
PROGRAM = """
import json, sys
sys.path.insert(0, {folder!r})
import torch
from threadpoolctl import threadpool_limits
from growth import measured
torch.set_num_threads(1)
with threadpool_limits(1):
    print(json.dumps(measured({names!r}, *{sizes!r})))
"""


def simulated(members: int, rows: int, classes: int) -> Predictions:
    """Return members with a shared signal of the class, and individual noise and confidence."""
    random = np.random.default_rng(0)
    labels = np.arange(rows) % classes
    logits = np.empty((members, rows, classes), np.float32)
    shared = random.standard_normal((rows, classes), np.float32)
    shared[np.arange(rows), labels] += 3.6
    for member in range(members):
        random.standard_normal(out=logits[member], dtype=np.float32)
        logits[member] *= 0.5 + 0.03 * (member % 7)
        logits[member] += shared
    names = [f"member{place:03d}" for place in range(members)]
    return Predictions.from_logits(
        logits, members=names, class_names=[f"class{place}" for place in range(classes)], labels=labels
    )


def task(name: str, predictions: Predictions) -> Callable[[], Any]:
    """Return the call that is measured."""
    if name == "score_all":
        rules = {
            key: build(key) for key in ("soft_voting", "logit_averaging", "weighted", "greedy_selection")
        }
        return lambda: score_all(rules, predictions)
    return lambda: build(RULES[name]).fit(predictions)


def affordable(name: str, members: int, rows: int, classes: int) -> bool:
    """Return whether a case is measured."""
    if name == "score_all":
        return members * rows * classes <= MOST_SCORED
    return build(RULES[name]).seconds(members, rows, classes) <= LONGEST


def measured(names: list[str], *sizes: int) -> list[tuple[str, float, float]]:
    """Return name, seconds, and additional megabytes of each rule, measured in this process."""
    predictions, small = simulated(*sizes), simulated(3, 60, 4)
    found = []
    for name in names:
        task(name, small)()  # imports
        run, before, start = task(name, predictions), memory(reset=True), time.process_time()
        run()
        found.append((name, time.process_time() - start, memory() - before))
    return found


def repeated_run() -> list[Row]:
    """Return how often a run with nothing left to do hashes a file of each kind, and its time."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_photos(root / "photos")
        recipe = load_recipe(None, [f"dataset.path={root / 'photos'}", *SETTINGS])
        store = Store(root / "store")
        run_recipe(recipe, store)
        time.sleep(hashes.SETTLED / 1e9)
        with mock.patch.object(lock, "memory", return_value=None):
            before, _ = hashed(recipe, store)
        after, seconds = hashed(recipe, store)
        with (
            mock.patch.object(build_stage, "is_kept", return_value=False),
            mock.patch.object(evaluate, "is_kept", return_value=False),
        ):
            _, again = hashed(recipe, store)
    rows = [
        Row(
            "growth: hashes of a file in a repeated run",
            kind,
            "",
            after[kind],
            unit="times",
            note=f"{before[kind]:.1f} without memory",
        )
        for kind in sorted(before)
    ]
    note = f"{again:.2f} s if ensembles and reports are made again"
    return [*rows, Row("growth: repeated run", "2 members, 60 images, CPU time", "", seconds, note=note)]


def hashed(recipe: Recipe, store: Store) -> tuple[dict[str, float], float]:
    """Run a recipe; return the mean number of times that files of each kind are hashed, and the CPU time."""
    read: Counter[str] = Counter()
    sha256 = hashes._sha256

    def counted(file: BufferedReader) -> str:
        read[str(file.name)] += 1
        return sha256(file)

    start = time.process_time()
    with mock.patch.object(hashes, "_sha256", counted):
        run_recipe(recipe, store)
    seconds = time.process_time() - start
    kinds: dict[str, list[int]] = {}
    for name, times in read.items():
        kind = Path(name).relative_to(store.root).parts[0] if store.root in Path(name).parents else "photos"
        kinds.setdefault(kind, []).append(times)
    return {kind: sum(times) / len(times) for kind, times in kinds.items()}, seconds


def write_photos(root: Path) -> None:
    """Write 20 images of each of three classes."""
    digits = load_digits()
    for label in range(3):
        (root / str(label)).mkdir(parents=True)
        for number, image in enumerate(digits.images[digits.target == label][:20]):
            Image.fromarray(np.uint8(image * 15)).save(root / str(label) / f"{number}.png")


def memory(reset: bool = False) -> float:
    """Return the peak memory of this process in MB, or what it uses now if the peak is reset before."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def measure(quick: bool) -> list[Row]:
    """Measure each rule at each size."""
    rows = []
    for sizes in QUICK if quick else SIZES:
        work = " x ".join(f"{size:,}" for size in sizes)
        names = (
            ["weighted", "greedy, accuracy"]
            if quick
            else [name for name in RULES if affordable(name, *sizes)]
        )
        program = PROGRAM.format(folder=str(Path(__file__).parent), names=names, sizes=sizes)
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        for name, spent, megabytes in json.loads(done.stdout.splitlines()[-1]):
            rows.append(Row(f"growth: {name}", work, "", spent))
            rows.append(Row(f"growth: {name}, extra memory", work, "", megabytes, unit="MB"))
    return rows if quick else [*rows, *repeated_run()]


if __name__ == "__main__":
    main(measure)
