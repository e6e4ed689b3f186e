"""Seconds of `committee combine` on 15 files of 50,000 rows and 100 classes, without imports.

All methods run that fit into the budget of time.

Compares the command line in a process of its own with a process that only imports the same modules. The
files are NPZ with float32 probabilities, ids and classes; the labels are in a CSV file. Libraries use their
default numbers of threads.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from greedy_selection import probabilities, simulated
from harness import Row, main, seconds, spread

MOST_SECONDS = 8
IMPORTS = (
    "import committee.cli.main, committee.cli.combine, committee.pipeline.combine, sklearn.linear_model, "
    "scipy.optimize, rich.table, rich.console"
)


def write_files(folder: Path, members: int, rows: int, classes: int) -> list[str]:
    """Write one file per member and one with the labels; return the arguments of the command line."""
    predictions = simulated(members, rows, classes)
    ids = np.array([f"image{row:06d}.jpg" for row in range(rows)])
    names = np.array(predictions.class_names)
    files = []
    for name, probs in zip(predictions.members, probabilities(predictions), strict=True):
        files.append(str(folder / f"{name}.npz"))
        np.savez(files[-1], ids=ids, probs=probs, classes=names)
    labels = names[predictions.require_labels("benchmark")]
    lines = [f"{image},{label}" for image, label in zip(ids, labels, strict=True)]
    (folder / "labels.csv").write_text("\n".join(["id,label", *lines]) + "\n", encoding="utf-8")
    return [*files, "--labels", str(folder / "labels.csv")]


def run(*arguments: str) -> float:
    """Return the seconds of one process."""
    command = [sys.executable, *arguments]
    return seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))


def measure(quick: bool) -> list[Row]:
    """Time both processes in alternation, and return the difference."""
    size, rounds = ((2, 200, 3), 1) if quick else ((15, 50_000, 100), 3)
    with tempfile.TemporaryDirectory() as folder:
        arguments = write_files(Path(folder), *size)
        if quick:
            arguments += ["--budget", "1"]
        if not quick:
            run("-c", IMPORTS)
        imports, beyond = [], []
        for _ in range(rounds):
            imports.append(run("-c", IMPORTS))
            beyond.append(run("-m", "committee", "combine", *arguments) - imports[-1])
    middle, low, high = spread(beyond)
    work = f"{size[0]} files of {size[1]:,} x {size[2]}, all methods within the budget"
    note = f"beyond imports of {spread(imports)[0]:.1f} s"
    return [Row("committee combine", work, "", middle, low=low, high=high, target=MOST_SECONDS, note=note)]


if __name__ == "__main__":
    main(measure, threads=None)
