"""Time and memory of each rule as members, rows and classes grow.

Each size is measured in a process of its own. The time is processor time of the fit on logits in memory,
which depends little on other programs; the memory is what the process needs in addition to the logits at its
peak, as Linux reports it. `score_all` fits and scores four cheap rules. Logits have at most 400 MB; one
thread.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from harness import Row, main

from committee.combiners.base import build
from committee.predictions.table import Predictions
from committee.scoring.scores import score_all

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
    return rows


if __name__ == "__main__":
    main(measure)
