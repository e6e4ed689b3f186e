"""Faults of a Ray cluster in mid-part of a prediction: what a run loses, and whether the bytes are the same.

Each row kills or starves something while `committee predict --executor ray` runs on two nodes of this machine
(127.0.0.2 and 127.0.0.3), and then compares the Parquet files with those of a run in one process. "repeated"
is the number of images that were predicted again although their part was there: 0 is right.

    python benchmarks/predict_faults.py

It needs Linux, five minutes, and `pip install 'committee[ray,onnx,parquet]'`.
"""

from __future__ import annotations

import argparse
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from subprocess import DEVNULL, PIPE

import numpy as np
import psutil
import torch
from PIL import Image
from ray_faults import node

from committee.exporters.base import Card
from committee.exporters.onnx import Onnx
from committee.models.member import Member

IMAGES, PART, SIDE = 3072, 256, 96
OCCUPY = """
import sys, time
import numpy as np
import ray
ray.init(address=sys.argv[1], log_to_driver=False)
kept = [ray.put(np.zeros(2**20, np.uint8)) for _ in range(int(sys.argv[2]))]
print("full", flush=True)
time.sleep(600)
"""
CASES = ["node joins late", "worker killed", "driver killed", "node killed", "full object store"]


def write_images(folder: Path) -> None:
    """Write PNG files of random pixels, the last of which is damaged."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for row in range(IMAGES):
        Image.fromarray(rng.integers(0, 255, (SIDE, SIDE, 3), np.uint8)).save(folder / f"{row:06d}.png")
    (folder / f"{IMAGES - 1:06d}.png").write_bytes(b"damaged")


def write_model(folder: Path) -> Path:
    """Export a network that takes some milliseconds for an image."""
    folder.mkdir()
    layers = [
        torch.nn.Conv2d(3, 64, 3),
        torch.nn.ReLU(),
        torch.nn.Conv2d(64, 64, 3),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(64, 10),
    ]
    net = torch.nn.Sequential(*layers).eval()
    member = Member.from_module(net, classes=list("abcdefghij"), name="small", size=SIDE).eval()
    example = torch.zeros(2, 3, SIDE, SIDE, dtype=torch.uint8)
    return Onnx().export(member, example, folder, Card.of(member, "small"))


class Command:
    """`committee predict` in a process of its own."""

    def __init__(self, model: Path, images: Path, out: Path, *words: str) -> None:
        command = [sys.executable, "-m", "committee", "predict", str(model), str(images)]
        command += ["--parquet", str(out), "--rows-per-part", str(PART), *words]
        self.out = out
        self.process = subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True)

    def until(self, parts: int) -> None:
        """Wait until the folder has some parts."""
        while len(contents(self.out)) < parts:
            if self.process.poll() is not None:
                raise RuntimeError(self.end())
            time.sleep(0.02)

    def end(self) -> str:
        """Wait for the end; return what was printed last."""
        said, errors = self.process.communicate()
        lines = [line for line in said.splitlines() if "(raylet)" not in line]
        return lines[-1] if lines else errors.strip().rpartition("\n")[2]


def contents(out: Path) -> dict[str, bytes]:
    """Return the parts of a folder."""
    return {path.name: path.read_bytes() for path in out.glob("part-*.parquet")}


def new(said: str) -> int:
    """Return the number of images that a run says that it has predicted."""
    found = re.search(r"(\d+) new", said)
    return int(found[1]) if found else -1


def workers(pid: int) -> list[psutil.Process]:
    """Return the processes with a model, of the node that a process has started."""
    found = []
    for each in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.Error):
            if each.cmdline()[0].startswith("ray::MapWorker"):
                found.append(each)
    return found


def spent(pid: int) -> float:
    """Return the seconds of processor time of the models on the node that a process has started."""
    return float(sum(each.cpu_times().user for each in workers(pid)))


def faults(top: Path, cases: list[str]) -> Iterator[tuple[str, str, bool, int, float]]:
    """Yield for each case how the run ended, whether the bytes are the same, repeated images, and seconds."""
    token = secrets.token_hex(16)
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token, OMP_NUM_THREADS="1")
    work = write_model(top / "model"), top / "images"
    write_images(work[1])
    said = Command(*work, top / "local").end()
    assert new(said) == IMAGES, said
    answers = contents(top / "local")

    def judged(
        case: str,
        act: Callable[[Command], str | None],
        *words: str,
        again: bool = False,
    ) -> tuple[str, str, bool, int, float]:
        start, out = time.monotonic(), top / case.replace(" ", "_")
        first = Command(*work, out, *words)
        note = act(first)
        said, repeated = first.end(), 0
        if again:
            kept = contents(out)
            said = Command(*work, out, *words).end()
            repeated = new(said) - (IMAGES - PART * len(kept))
            note = f"{len(kept)} parts were there"
        ended = f"{said.rpartition('/')[2]}{'; ' if note else ''}{note or ''}"
        return case, ended, contents(out) == answers, repeated, time.monotonic() - start

    with ExitStack() as stack:
        address, head = stack.enter_context(node("127.0.0.2", "--head", "--port=0"))
        other = stack.enter_context(ExitStack())
        ray = ("--executor", "ray", "--address", address)

        def join() -> subprocess.Popen[str]:
            return other.enter_context(node("127.0.0.3", f"--address={address}"))[1]

        if "node joins late" in cases:

            def join_late(command: Command) -> str:
                command.until(1)
                seconds = dict.fromkeys((head.pid, join().pid), 0.0)
                while command.process.poll() is None:
                    for pid, before in seconds.items():
                        with suppress(psutil.Error):
                            seconds[pid] = max(before, spent(pid))
                    time.sleep(0.2)
                first, late = seconds.values()
                return f"{late / (first + late):.0%} of the work on the late node"

            yield judged("node joins late", join_late, *ray)
        else:
            join()
        if "worker killed" in cases:

            def kill_worker(command: Command) -> None:
                command.until(2)
                workers(head.pid)[0].kill()

            yield judged("worker killed", kill_worker, *ray)
        if "driver killed" in cases:

            def kill_driver(command: Command) -> None:
                command.until(3)
                command.process.send_signal(signal.SIGKILL)

            yield judged("driver killed", kill_driver, *ray, again=True)
        if "node killed" in cases:

            def kill_node(command: Command) -> None:
                command.until(2)
                other.close()

            yield judged("node killed", kill_node, *ray)
    if "full object store" in cases:
        with node("127.0.0.2", "--head", "--port=0", memory=80 * 2**20) as (address, _):
            command = [sys.executable, "-c", OCCUPY, address, "100"]
            with subprocess.Popen(command, stdout=PIPE, stderr=DEVNULL, text=True) as other_job:
                assert other_job.stdout is not None and other_job.stdout.readline() == "full\n"
                ray = ("--executor", "ray", "--address", address)
                yield judged("full object store", lambda command: None, *ray)
                other_job.kill()


def main() -> None:
    """Run all cases, or those that are named, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", action="append", choices=CASES, help="a case; by default all")
    cases = parser.parse_args().case or CASES
    with tempfile.TemporaryDirectory() as top:
        print(f"{'fault':20} {'same bytes':10} {'repeated':8} {'seconds':7}  how the run ended")
        for case, ended, same, repeated, seconds in faults(Path(top), cases):
            print(f"{case:20} {same!s:10} {repeated:8} {seconds:7.0f}  {ended}", flush=True)


if __name__ == "__main__":
    main()
