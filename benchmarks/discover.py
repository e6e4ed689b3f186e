"""Seconds of `committee discover` for a store with 1,000 entries, without imports.

Nine of ten entries are small members, each with three folds, a refit and predictions; the others are
ensembles of these members.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from harness import Row, main, spread
from torch import nn

from committee.combiners import base as combiners
from committee.models.member import Member
from committee.pipeline.shared.records import RECORD, member_source
from committee.predictions.table import Predictions
from committee.store.commit import commit, write_json
from committee.store.layout import Store

CLASSES = tuple("abcdefghij")
FITS = ("fold_0", "fold_1", "fold_2", "refit")
FACTS = {"backbone": "python:nets:small", "seed": 0, "pretrained": False, "inference": "refit"}

CHILD = """
import sys, time
import committee.pipeline.discover
from committee.cli.main import main
start = time.perf_counter()
code = main(["discover", "--store", sys.argv[1], "--json"])
print(code, time.perf_counter() - start, file=sys.stderr)
"""


def make_store(folder: Path, entries: int) -> Store:
    """Make a store whose members are copies of one member, and whose ensembles have three members each."""
    store, ensembles = Store(folder), entries // 10
    names = [f"member_{index:04}" for index in range(entries - ensembles)]
    _make_member(store, names[0])
    for name in names[1:]:
        shutil.copytree(store.checkpoint(names[0], "refit").parent, store.checkpoint(name, "refit").parent)
        shutil.copytree(store.kfold(names[0]), store.kfold(name))
    source = member_source(store, names[0])
    for index in range(ensembles):
        _make_ensemble(store, f"ensemble_{index:04}", names[3 * index :][:3], source)
    return store


def _make_member(store: Store, name: str) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, len(CLASSES)))
    member = Member.from_module(net, classes=CLASSES, size=32, name=name)
    for fit in FITS:
        with commit(store.checkpoint(name, fit), kind="checkpoint", fingerprint=fit, **FACTS) as new:
            member.save(new)
    logits = np.random.default_rng(0).normal(size=(500, len(CLASSES))).astype(np.float32)
    for what in ("oof", "test_folds", "test_refit"):
        with commit(store.kfold(name) / what, kind="predictions", fingerprint=what) as new:
            Predictions.from_logits(logits, members=[name], class_names=CLASSES).save(new)


def _make_ensemble(store: Store, name: str, members: list[str], source: str) -> None:
    record = {
        "name": name,
        "method": "soft_voting",
        "members": members,
        "calibrate": "none",
        "rows": "oof",
        "inference": dict.fromkeys(members, "refit"),
        "sources": dict.fromkeys(members, source),
    }
    with commit(
        store.ensemble(name), kind="ensemble", fingerprint=name, method="soft_voting", members=members
    ) as new:
        combiners.save(combiners.build("soft_voting").bind(members), new)
        write_json(new / RECORD, record)


def discover_seconds(store: Store, entries: int) -> float:
    """Return the seconds of the command after its imports."""
    command = [sys.executable, "-c", CHILD, str(store.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    code, seconds = done.stderr.split()[-2:]
    catalog = json.loads(done.stdout)
    assert (int(code), len(catalog["members"]) + len(catalog["ensembles"])) == (0, entries), done.stderr
    return float(seconds)


def measure(quick: bool) -> list[Row]:
    """Run the command on the same store several times."""
    entries, rounds = (20, 2) if quick else (1000, 5)
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder), entries)
        megabytes = sum(path.stat().st_size for path in store.root.rglob("*") if path.is_file()) / 1e6
        median, low, high = spread([discover_seconds(store, entries) for _ in range(rounds)])
    note = f"{megabytes:.0f} MB in {7 * (entries - entries // 10) + entries // 10} folders, all hashed"
    return [
        Row("committee discover", f"{entries} entries", "", median, low=low, high=high, target=5.0, note=note)
    ]


if __name__ == "__main__":
    main(measure)
