"""Memory and time of combining predictions that are larger than memory: 100 members x 50,000 x 1,000.

Each member is an NPY file of logits in float16 (100 MB), with ids and labels beside them; together they have
10 GB. `committee combine FILES --method NAME` reads them, finds weights or selects members, and scores the
result with all metrics, intervals and gains: one process for each method. The memory is the peak of the
process (VmHWM of Linux). It counts anonymous memory, which only this process has, and the pages of mapped
files, which the system can drop at any time: libraries, and what was read of the predictions last. The
largest anonymous part is sampled every 0.1 s. Logits are simulated: rows of one table of noise in random
order, plus the signal of the label. The files are in the folder for temporary files (TMPDIR), and are deleted
at the end. The first two methods take about five minutes each; `pruned` may take more than an hour.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from harness import Row, main

QUESTION = "predictions on disk"
MOST_MB = 4096
TABLE = 4096
METHODS = ("weighted", "greedy_selection", "pruned")
CHILD = """
import json, sys, time
import torch
from committee.cli.main import main
from committee.models.timing import peak_memory_mb

torch.set_num_threads(1)
start, cpu = time.perf_counter(), time.process_time()
code = main(sys.argv[1:])
found = [time.process_time() - cpu, time.perf_counter() - start, peak_memory_mb()]
print(json.dumps(found), flush=True)
sys.exit(code)
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


def run(words: list[str]) -> tuple[list[float], float]:
    """Return seconds of the processor and of the clock and the peak of the command line; anonymous MB."""
    anonymous = 0.0
    with tempfile.TemporaryFile("w+") as output:
        with subprocess.Popen([sys.executable, "-c", CHILD, *words], stdout=output) as process:
            while process.poll() is None:
                status = Path(f"/proc/{process.pid}/status")
                with contextlib.suppress(OSError, IndexError):  # another system, or the process has ended
                    found = status.read_text(encoding="utf-8").partition("RssAnon:")[2].split()[0]
                    anonymous = max(anonymous, int(found) * 1024 / 1e6)
                time.sleep(0.1)
        assert process.returncode == 0, words[-3:]
        output.seek(0)
        answer = json.loads(output.read().splitlines()[-1])
    return answer, anonymous


def measure(quick: bool, sizes: tuple[int, int, int] = (100, 50_000, 1_000)) -> list[Row]:
    """Run the command line for each method."""
    sizes, methods = ((4, 300, 20), METHODS[:1]) if quick else (sizes, METHODS)
    work = " x ".join(f"{size:,}" for size in sizes)
    result = []
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), *sizes)
        files = sorted(map(str, Path(folder).glob("member*.npy")))
        for method in methods:
            words = ["combine", *files, "--method", method, "--json"]
            (cpu, wall, peak), anonymous = run(words)
            question = f"{QUESTION}: {method}, with its scores"
            result.append(Row(question, work, "", cpu, note=f"CPU; {wall:.0f} s of wall time"))
            note = f"at most {anonymous:.0f} MB of it anonymous"
            result.append(Row(f"{question}: peak", work, "", peak, target=MOST_MB, unit="MB", note=note))
    return result


if __name__ == "__main__":
    main(measure)
