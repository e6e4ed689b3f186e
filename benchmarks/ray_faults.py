"""Faults of a Ray cluster in mid-fit: what a run loses, and whether its store has the bytes of a local run.

Each row kills or starves something while fits run on two nodes of this machine (127.0.0.2 and 127.0.0.3),
and then compares all files of the store with those of a run in one process; only the seconds of epochs may
differ. "repeated" counts fits that were made again although the store had them: 0 is right.

    python benchmarks/ray_faults.py

It needs Linux, five minutes, and `pip install 'committee[ray]'`.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from harness import Row, main

NETS = """
from torch import nn

def small(classes, channels):
    first = [nn.Conv2d(channels, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(4)]
    return nn.Sequential(*first, nn.Flatten(), nn.Dropout(0.1), nn.Linear(256, classes))

def large(classes, channels):
    first = [nn.Flatten(), nn.Linear(64 * channels, 4096), nn.ReLU()]
    return nn.Sequential(*first, nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, classes))
"""
DRIVER = """
import json, logging, sys, torch
torch.set_num_threads(1)
from committee.base import events
from committee.base.interrupt import handled
from committee.pipeline.run import run_verb
from committee.recipe.load import load_recipe
from committee.store.layout import Store

events.add_listener(lambda event: print(event.kind, event.fit, len(event.rows), event.status, flush=True))
logging.basicConfig(level=logging.WARNING)
with handled():
    found = run_verb("train", load_recipe(None, sys.argv[2:]), Store(sys.argv[1]))
print("done", json.dumps([found.done, found.failed]), flush=True)
"""
RECIPE = [
    "dataset={name: digits, channels: 1, img_size: 8, batch_size: 32}",
    "training={folds: 3, lr: 0.01, pretrained: false, augment: none, together: none}",
    "device=cpu",
]


@contextmanager
def node(host: str, *words: str, memory: int = 200 * 2**20) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run a node of Ray; yield the address of its cluster and its process, which leads a group."""
    folder = tempfile.mkdtemp(prefix="ray")
    options = [
        f"--node-ip-address={host}",
        f"--temp-dir={folder}",
        f"--object-store-memory={memory}",
        "--num-cpus=1",
    ]
    quiet = ["--block", "--disable-usage-stats", "--include-log-monitor=false"]
    quiet += ["--include-dashboard=false"] * ("--head" in words)
    command = [
        sys.executable,
        "-c",
        "from ray.scripts.scripts import main; main()",
        "start",
        *words,
        *options,
        *quiet,
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    try:
        said = ""
        while "To terminate the Ray runtime" not in said:
            said += (line := process.stdout.readline())
            assert line, said
        yield (re.findall(r"--address='([\d.:]+)'", said) or [""])[0], process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)


class Drive:
    """A run in a process of its own, and the events of its fits."""

    def __init__(self, store: Path, *words: str) -> None:
        command = [sys.executable, "-c", DRIVER, str(store), *RECIPE, *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.lines = list[str]()

    def until(self, wanted: Callable[[str], bool]) -> None:
        """Read events until one of them is wanted, or the run has ended."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.strip())
            if wanted(line):
                return

    def end(self) -> str:
        """Read all events; return the last line."""
        self.until(lambda line: False)
        self.process.wait()
        return self.lines[-1] if self.lines else ""

    def begun(self) -> list[str]:
        """Return the fits that have begun, once each time."""
        return [line.split()[1] for line in self.lines if line.startswith("begin")]


def without_times(path: Path) -> Any:
    """Return the content of a stored file without the seconds of epochs."""
    if path.name.endswith("epochs.csv"):
        rows = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
        return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]
    if path.name == "manifest.json":
        found = json.loads(path.read_text(encoding="utf-8"))
        del found["digest"]
        return {
            **found,
            "files": {name: each for name, each in found["files"].items() if "epochs" not in name},
        }
    return path.read_bytes()


def contents(store: Path) -> dict[str, Any]:
    """Return the fits and predictions of a store."""
    tops = (store / "checkpoints", store / "kfold")
    files = (path for top in tops for path in top.rglob("*") if path.is_file())
    return {path.relative_to(store).as_posix(): without_times(path) for path in files}


def stored(store: Path) -> set[str]:
    """Return the fits that a store has."""
    found = store.glob("checkpoints/*/*/manifest.json")
    return {f"{each.parts[-3]}/{each.parts[-2]}" for each in found if not each.parts[-2].endswith(".resume")}


def worker(fit: str) -> psutil.Process:
    """Return the process of Ray that makes a fit."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for each in psutil.process_iter(["cmdline"]):
            if (each.info["cmdline"] or [""])[0].startswith(f"ray::{fit.partition('/')[0]}/"):
                return each
        time.sleep(0.02)
    raise RuntimeError(f"no process of Ray makes {fit}")


def is_epoch(line: str) -> bool:
    """Return whether an event is an epoch of a fit."""
    return line.startswith("epoch")


def faults(top: Path, cases: list[str]) -> Iterator[tuple[str, str, bool, int, float]]:
    """Yield for each case how the run ended, whether the bytes are the same, repeated fits, and seconds."""
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(16))
    (top / "fault_nets.py").write_text(NETS)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(top), os.environ.get("PYTHONPATH", "")])
    small = ["backbones.include=['python:fault_nets:small']", "training.epochs=40"]
    large = ["backbones.include=['python:fault_nets:large']", "training.epochs=1", "training.warmup_epochs=0"]
    answers = {}
    for name, words in (("small", small), ("large", large)):
        if name == "small" or "full object store" in cases:
            Drive(top / name, *words, "executor=in_process").end()
            answers[name] = contents(top / name)

    def judged(
        case: str, store: Path, words: list[str], act: Callable[[Drive], None], again: bool = False
    ) -> Any:
        start = time.monotonic()
        first = Drive(store, *words)
        act(first)
        last = first.end()
        kept, repeated = stored(store), 0
        if again:
            second = Drive(store, *words)
            last = second.end()
            repeated = len(kept & set(second.begun()))
        done = [
            line.split()[1] for line in first.lines if line.startswith("end") and line.endswith("finished")
        ]
        repeated += 0 if again else sum(done.count(fit) > 1 for fit in set(done))
        found, right = contents(store), answers["large" if words[0] == large[0] else "small"]
        same = found == right
        if not same:
            print("differs:", *(name for name in found.keys() | right if found.get(name) != right.get(name)))
        return case, last[:60], same, repeated, time.monotonic() - start

    def kill_worker(drive: Drive) -> None:
        drive.until(is_epoch)
        worker(drive.begun()[-1]).kill()

    def kill_driver(drive: Drive) -> None:
        drive.until(lambda line: line.startswith("end"))
        drive.until(is_epoch)
        drive.process.kill()

    def stop_driver(drive: Drive) -> None:
        drive.until(lambda line: line.startswith("end"))
        drive.until(is_epoch)
        drive.process.terminate()

    with ExitStack() as stack:
        address, _ = stack.enter_context(node("127.0.0.2", "--head", "--port=0"))
        ray = f"executor={{name: ray, address: '{address}'}}"
        other = stack.enter_context(ExitStack())
        if "node joins late" in cases:

            def join(drive: Drive) -> None:
                drive.until(is_epoch)
                other.enter_context(node("127.0.0.3", f"--address={address}"))

            yield judged("node joins late", top / "late", [*small, ray], join)
        else:
            other.enter_context(node("127.0.0.3", f"--address={address}"))
        if "worker killed" in cases:
            yield judged("worker killed", top / "worker", [*small, ray], kill_worker)
        if "driver killed" in cases:
            yield judged("driver killed", top / "driver", [*small, ray], kill_driver, again=True)
        if "driver stopped" in cases:
            yield judged("driver stopped", top / "stopped", [*small, ray], stop_driver, again=True)
        if "node killed" in cases:

            def kill_node(drive: Drive) -> None:
                drive.until(is_epoch)
                other.close()

            yield judged("node killed", top / "node", [*small, ray], kill_node)
    if "full object store" in cases:
        with node("127.0.0.2", "--head", "--port=0", memory=80 * 2**20) as (address, _):
            ray = f"executor={{name: ray, address: '{address}'}}"
            yield judged("full object store", top / "full", [*large, ray], lambda drive: None)


CASES = [
    "node joins late",
    "worker killed",
    "driver killed",
    "driver stopped",
    "node killed",
    "full object store",
]


def measure(quick: bool) -> list[Row]:
    """Return the rows of this file: the seconds of each case, and what was lost."""
    cases = ["driver stopped"] if quick else CASES
    with tempfile.TemporaryDirectory() as top:
        return [
            Row(
                "faults of Ray",
                case,
                "",
                seconds,
                note=f"{'the same bytes' if same else 'OTHER BYTES'}, {repeated} fits repeated; {last}",
            )
            for case, last, same, repeated, seconds in faults(Path(top), cases)
        ]


if __name__ == "__main__":
    main(measure, packages=("ray",))
