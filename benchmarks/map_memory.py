"""Peak memory of scoring an ensemble on whole images: it does not grow with the number of members.

The weighted mean of M members is scored from files with the outputs of each member for all pixels. Each
number of members is a process of its own, whose peak memory the operating system reports.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import torch
from harness import Row, main

from committee.combiners import Weighted
from committee.images.maps import Maps
from committee.models.timing import peak_memory_mb
from committee.pipeline.shared.map_scores import MapsOfMembers, Scored, score_maps
from committee.tasks.base import TASKS
from committee.training.crossfit.map_files import MapFile, writing

QUESTION = "memory of scoring the maps of M members"
CLASSES, IMAGES = 4, 2
GROWTH = 1.1
"""Allowed relative increase over the peak with one member."""


def peak(members: int, side: int) -> float | None:
    """Return the peak memory of this process after scoring an ensemble, in MB."""
    task, sizes = TASKS.make("segmentation"), np.full((IMAGES, 2), side)
    names = [f"m{number}" for number in range(members)]
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(names):
            generator = torch.Generator().manual_seed(number)
            with writing(Path(folder, name), sizes, CLASSES) as keep:
                for _ in range(IMAGES):
                    keep(torch.randn(CLASSES, side, side, generator=generator))

        def of(number: int, row: int, member: str, inference: str, scratch: Path) -> list[MapFile]:
            return [MapFile(Path(folder, member), sizes, CLASSES, number)]

        blocks = np.random.default_rng(0).integers(0, CLASSES, (IMAGES, side // 16, side // 16))
        values = blocks.repeat(16, 1).repeat(16, 2).astype(np.int16).ravel()
        dataset = SimpleNamespace(
            maps=Maps(np.empty(0, np.uint8), values, sizes, 1, 0),
            task=task,
            class_names=tuple("abcd"),
            groups=None,
            sample_ids=np.array(["first", "second"]),
        )
        source = cast("MapsOfMembers", SimpleNamespace(dataset=dataset, rows=np.arange(IMAGES), of=of))
        rule = Weighted(dict.fromkeys(names, 1 / members)).assign(task).bind(names)
        score_maps({"ensemble": Scored(rule, dict.fromkeys(names, "refit"))}, source, seed=0)
    return peak_memory_mb()


def peak_alone(members: int, side: int) -> float:
    """Return `peak` of a process of its own."""
    program = f"import json, sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import map_memory; "
    program += f"print(json.dumps(map_memory.peak({members}, {side})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


def measure(quick: bool) -> list[Row]:
    """Measure one number of members after another."""
    side, rows = (64 if quick else 2048), list[Row]()
    for members in (1, 2) if quick else (1, 4, 16):
        work = f"{members} members, {IMAGES} images of {side} x {side}, {CLASSES} classes"
        target = GROWTH * rows[0].ours if rows and rows[0].ours is not None else None
        note = f"{members * side**2 * CLASSES * 4 / 1e6:.0f} MB of outputs for an image"
        rows.append(Row(QUESTION, work, "", peak_alone(members, side), target=target, note=note, unit="MB"))
    return rows


if __name__ == "__main__":
    main(measure)
