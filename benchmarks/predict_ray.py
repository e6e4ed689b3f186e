"""Prediction of many small images by this process and by Ray: time, memory, and what a kill costs.

The program starts a Ray cluster of one machine (127.0.0.9, two processors), and predicts PNG images of 32 x
32 pixels with an ONNX file of a small convolutional network, on one thread for each copy of it. Both sides
write Parquet files with the command line. The time of Ray includes the start of its workers, but not that
of the cluster. The memory is the largest of the process that is started, above that two seconds after its
start. Then one worker, and later the process itself, are ended by SIGKILL in the middle; the run is
continued, and compared with that of this process row by row.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import Row, main
from PIL import Image

from committee.exporters.base import Card
from committee.exporters.onnx import Onnx
from committee.models.member import Member

QUESTION = "predict on Ray"
HOST, PORT = "127.0.0.9", 6431
ADDRESS = f"{HOST}:{PORT}"
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 3, "OMP_NUM_THREADS": "1"}


def write_images(folder: Path, count: int) -> None:
    """Write PNG files of random pixels."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for row in range(count):
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), np.uint8)).save(folder / f"{row:06d}.png")


def write_model(folder: Path) -> Path:
    """Export a network of two convolutions."""
    layers = [
        torch.nn.Conv2d(3, 32, 3),
        torch.nn.ReLU(),
        torch.nn.Conv2d(32, 32, 3, 2),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(32, 10),
    ]
    net = torch.nn.Sequential(*layers).eval()
    member = Member.from_module(net, classes=list("abcdefghij"), name="small", size=32).eval()
    example = torch.zeros(2, 3, 32, 32, dtype=torch.uint8)
    return Onnx().export(member, example, folder, Card.of(member, "small"))


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[None]:
    """Run a Ray cluster of two processors."""
    program = "from ray.scripts.scripts import main; main()"
    words = (
        f"start --head --port={PORT} --node-ip-address={HOST} --num-cpus=2 --block --include-dashboard=false"
    )
    more = f"--temp-dir={folder} --object-store-memory={200 * 2**20} --disable-usage-stats"
    command = [sys.executable, "-c", program, *words.split(), *more.split()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        try:
            while "To terminate the Ray runtime" not in process.stdout.readline():
                assert process.poll() is None
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def start(model: Path, images: Path, out: Path, *words: str) -> subprocess.Popen[bytes]:
    """Start `committee predict`."""
    command = [sys.executable, "-m", "committee", "predict", str(model), str(images), "--parquet", str(out)]
    return subprocess.Popen([*command, *words], env=os.environ | TOKEN, stdout=subprocess.DEVNULL)


def timed(*arguments: Any) -> tuple[float, float]:
    """Return the seconds of a run, and its memory in MB: the largest, above that after its imports."""
    begin, least, most = time.perf_counter(), 0, 0
    process = start(*arguments)
    while process.poll() is None:
        with contextlib.suppress(OSError, ValueError, StopIteration):
            lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
            used = int(next(line for line in lines if line.startswith("VmRSS")).split()[1])
            most, least = max(most, used), least or (used if time.perf_counter() - begin > 2 else 0)
        time.sleep(0.05)
    assert process.returncode == 0
    return time.perf_counter() - begin, (most - least) / 1024


def rows_of(folder: Path) -> Any:
    """Return all rows of a folder of parts."""
    from pyarrow import dataset

    return dataset.dataset(str(folder), format="parquet").to_table()


def workers() -> list[int]:
    """Return the processes of Ray that have a model."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and b"MapWorker" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


def until(folder: Path, parts: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a folder has some parts."""
    while len(list(folder.glob("part-*.parquet"))) < parts:
        assert process.poll() is None
        time.sleep(0.05)


def faults(model: Path, images: Path, out: Path, words: list[str], parts: int) -> tuple[int, int]:
    """Kill a worker, and later the process itself, and continue; return the parts before and after."""
    first = start(model, images, out, *words)
    until(out, 1, first)
    os.kill(workers()[0], signal.SIGKILL)
    until(out, max(2, parts // 2), first)
    first.send_signal(signal.SIGKILL)
    first.wait()
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*.parquet")}
    assert start(model, images, out, *words).wait() == 0
    kept = [name for name, made in before.items() if (out / name).stat().st_mtime_ns == made]
    assert len(kept) == len(before)
    return len(before), len(list(out.glob("part-*.parquet")))


def measure(quick: bool) -> list[Row]:
    """Return the rows of this file."""
    count, part = (2000, 250) if quick else (20000, 1000)
    os.environ.update(TOKEN)
    with tempfile.TemporaryDirectory() as base, cluster(Path(tempfile.mkdtemp(prefix="ray"))):
        folder = Path(base)
        model, images = write_model(folder), folder / "images"
        write_images(images, count)
        size = ("--rows-per-part", str(part))
        on_ray = [*size, "--executor", "ray", "--address", ADDRESS]
        local, local_mb = timed(model, images, folder / "local", *size)
        ray, ray_mb = timed(model, images, folder / "ray", *on_ray)
        there, here = rows_of(folder / "ray"), rows_of(folder / "local")
        names = [name for name in here.column_names if str(here.schema.field(name).type) == "float"]
        worst = max(abs(there[name].to_numpy() - here[name].to_numpy()).max() for name in names)
        assert worst < 1e-6 and there["id"].equals(here["id"])
        before, after = faults(model, images, folder / "killed", on_ray, count // part)
        assert rows_of(folder / "killed")["id"].equals(here["id"])
        shutil.rmtree(folder / "killed")
    work = f"{count} images of 32 x 32 pixels to Parquet, an ONNX file"
    rates = f"{count / local:.0f} images a second in one process, {count / ray:.0f} on Ray"
    return [
        Row(QUESTION, f"{work}, one thread", "Ray, two actors", local, *[ray / local] * 3, note=rates),
        Row(QUESTION, f"{work}: memory of one process", "", local_mb, unit="MB"),
        Row(QUESTION, f"{work}: memory of the driver of Ray", "", ray_mb, unit="MB"),
        Row(
            QUESTION,
            "a worker and the driver killed, then continued: rows lost, repeated or different",
            "",
            0,
            unit="rows",
            note=f"{before} of {after} parts were there, and were kept; largest difference {worst:.1g}",
        ),
    ]


if __name__ == "__main__":
    main(measure, packages=("ray", "onnxruntime", "pyarrow"))
