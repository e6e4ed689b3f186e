"""Memory and time of combining predictions that are larger than memory: 100 members x 50,000 x 1,000.

Each member is an NPY file of logits in float16 (100 MB), with ids and labels beside them; together they have
10 GB. One process reads them as `committee combine` does, finds weights, selects members in two ways, and
scores the weighted mean with all metrics, intervals and gains. The memory is the peak of the process, as
Linux reports it. Logits are simulated: rows of one table of noise in random order, plus the signal of the
label. The files are in the folder for temporary files (TMPDIR), and are deleted at the end.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from harness import Row, main

QUESTION = "predictions on disk"
MOST_MB = 4096
TABLE = 4096
CHILD = """
import json, sys, time
from pathlib import Path
import torch
from committee.combiners.base import build
from committee.models.timing import peak_memory_mb
from committee.pipeline.shared.labeled_files import labeled
from committee.predictions.reading import Reading
from committee.scoring.scores import score_all

torch.set_num_threads(1)
files = sorted(map(str, Path(sys.argv[1]).glob("member*.npy")))
steps = {
    "read and checked": lambda: labeled(files, None, Reading(on_disk=True)),
    "weighted": lambda: build("weighted").fit(rows),
    "greedy_selection": lambda: build("greedy_selection").fit(rows),
    "pruned, greedy_forward": lambda: build("pruned").fit(rows),
    "scores of weighted": lambda: score_all({"weighted": build("weighted")}, rows),
}
for name, step in steps.items():
    start, cpu = time.perf_counter(), time.process_time()
    found = step()
    rows = found if name == "read and checked" else rows
    spent = [time.process_time() - cpu, time.perf_counter() - start]
    print(json.dumps([name, *spent, peak_memory_mb()]), flush=True)
"""


def write(folder: Path, members: int, rows: int, classes: int) -> None:
    """Write one file for each member, and the ids and labels of all."""
    random = np.random.default_rng(0)
    labels = random.integers(0, classes, rows)
    table = random.standard_normal((min(rows, TABLE), classes), np.float32).astype(np.float16)
    shared = random.standard_normal(rows, np.float32)
    for member in range(members):
        logits = table[random.integers(0, len(table), rows)]
        signal = 3 + 0.02 * (member % 50) + shared + random.standard_normal(rows, np.float32)
        logits[np.arange(rows), labels] += signal.astype(np.float16)
        np.save(folder / f"member{member:03d}.npy", logits)
    np.save(folder / "ids.npy", np.arange(rows))
    np.save(folder / "labels.npy", labels)


def measure(quick: bool, sizes: tuple[int, int, int] = (100, 50_000, 1_000)) -> list[Row]:
    """Run all steps in one process; the memory of a step is the peak up to its end."""
    sizes = (4, 300, 20) if quick else sizes
    work = " x ".join(f"{size:,}" for size in sizes)
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), *sizes)
        command = [sys.executable, "-c", CHILD, folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    result = []
    for line in done.stdout.splitlines():
        name, cpu, wall, peak = json.loads(line)
        result.append(Row(f"{QUESTION}: {name}", work, "", cpu, note=f"CPU; {wall:.0f} s of wall time"))
        result.append(
            Row(f"{QUESTION}: {name}, peak of the process", work, "", peak, target=MOST_MB, unit="MB")
        )
    return result


if __name__ == "__main__":
    main(measure)
