"""Peak memory of `committee evaluate` with 2, 8 and 32 members and their ensemble.

Each member is a ResNet-18 with random weights and stored predictions of its own; the ensemble contains all
of them. The command runs in a process of its own, whose peak memory the operating system reports.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from harness import Row, main

from committee.models.member import Member
from committee.pipeline.run import run_verb
from committee.predictions.table import Predictions
from committee.recipe.load import load_recipe
from committee.store.commit import commit
from committee.store.layout import Store

QUESTION = "memory of evaluating N members"
GROWTH = 1.1
"""Allowed relative increase over the smallest peak, for the names and reports of more members."""

CHILD = """
import json, sys
from committee.cli.main import main
from committee.models.timing import peak_memory_mb
code = main(["evaluate", "--quiet", "--store", sys.argv[1], "--set", "device=cpu", "--json"])
print(json.dumps({"code": code, "peak_mb": peak_memory_mb()}), file=sys.stderr)
"""


def make_store(folder: Path, members: int, backbone: str, rows: int, classes: int) -> Store:
    """Make a store of untrained members with predictions of realistic size."""
    store, random = Store(folder), np.random.default_rng(0)
    labels, names = random.integers(0, classes, rows), [f"class_{index}" for index in range(classes)]
    facts = {"backbone": backbone, "seed": 0, "pretrained": False, "inference": "refit"}
    for index in range(members):
        name = f"member_{index:02}"
        with commit(store.checkpoint(name, "refit"), kind="checkpoint", fingerprint=name, **facts) as new:
            Member.build(backbone, classes=names, size=64, name=name, seed=index).save(new)
        for what in ("val_refit", "test_refit"):
            logits = random.normal(size=(rows, classes)).astype(np.float32)
            with commit(store.kfold(name) / what, kind="predictions", fingerprint=name) as new:
                Predictions.from_logits(logits, members=[name], class_names=names, labels=labels).save(new)
    run_verb("build-ensemble", load_recipe(None, ["device=cpu"]), store, methods=["soft_voting"])
    return store


def peak_mb(store: Store) -> float:
    """Return the peak memory of `committee evaluate`."""
    command = [sys.executable, "-c", CHILD, str(store.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stderr.splitlines()[-1])
    assert found["code"] == 0, done.stderr
    return float(found["peak_mb"])


def measure(quick: bool) -> list[Row]:
    """Measure one store after another; each is deleted before the next is made."""
    backbone, rows, classes = ("timm:test_resnet", 500, 10) if quick else ("timm:resnet18", 20_000, 100)
    result: list[Row] = []
    peaks: list[float] = []
    for members in (2, 3) if quick else (2, 8, 32):
        with tempfile.TemporaryDirectory() as folder:
            peak = peak_mb(make_store(Path(folder), members, backbone, rows, classes))
        work = f"{members} x {backbone}, {rows} rows, {classes} classes"
        target = GROWTH * peaks[0] if peaks else None
        peaks.append(peak)
        note = f"{members * rows * classes * 4 / 1e6:.0f} MB of predictions in each split"
        result.append(Row(QUESTION, work, "", peak, target=target, note=note, unit="MB"))
    return result


if __name__ == "__main__":
    main(measure)
