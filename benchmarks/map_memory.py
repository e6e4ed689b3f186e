"""Memory of scoring an ensemble on whole images: it does not grow with the number of members.

python benchmarks/map_memory.py

Each row is a process of its own, which scores the weighted mean of M members on images of 2,048 x 2,048
pixels and 4 classes, from files with the outputs of each member for all pixels (64 MB for an image). The
memory is the largest that the process had, less that before the first image.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch

SIDE, CLASSES, IMAGES = 2048, 4, 2
MEMBERS = (1, 4, 16)


def measure(count: int) -> None:
    """Print the megabytes and the seconds of scoring `count` members."""
    from committee.combiners import Weighted
    from committee.images.maps import Maps
    from committee.pipeline.shared.map_scores import MapsOfMembers, Scored, score_maps
    from committee.tasks.base import TASKS
    from committee.training.crossfit.map_files import MapFile, writing

    task, sizes = TASKS.make("segmentation"), np.full((IMAGES, 2), SIDE)
    generator = torch.Generator().manual_seed(0)
    names = [f"m{number}" for number in range(count)]
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            with writing(Path(folder, f"{name}.npy"), sizes, CLASSES) as keep:
                for _ in range(IMAGES):
                    keep(torch.randn(CLASSES, SIDE, SIDE, generator=generator))
        values = np.random.default_rng(0).integers(0, CLASSES, IMAGES * SIDE**2).astype(np.int16)
        dataset = SimpleNamespace(
            maps=Maps(np.empty(0, np.uint8), values, sizes, 1, 0),
            task=task,
            class_names=tuple("abcd"),
            groups=None,
            sample_ids=np.array(["first", "second"]),
        )

        def of(number: int, row: int, member: str, inference: str, scratch: Path) -> list[MapFile]:
            return [MapFile(Path(folder, f"{member}.npy"), sizes, CLASSES, number)]

        source = cast("MapsOfMembers", SimpleNamespace(dataset=dataset, rows=np.arange(IMAGES), of=of))
        weights = dict.fromkeys(names, 1 / count)
        rule = Weighted(weights).assign(task).bind(names)
        before, start = peak(), time.perf_counter()
        score_maps({"ensemble": Scored(rule, dict.fromkeys(names, "refit"))}, source, seed=0)
        print(f"{peak() - before:.0f} {time.perf_counter() - start:.1f}")


def peak() -> float:
    """Return the largest resident memory of the process so far, in megabytes."""
    scale = 1e6 if sys.platform == "darwin" else 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale


def main() -> None:
    """Measure each number of members in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, help="measure this number in this process")
    chosen: Any = parser.parse_args().members
    if chosen is not None:
        measure(chosen)
        return
    print("members  MB more  seconds")
    for count in MEMBERS:
        command = [sys.executable, __file__, "--members", str(count)]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        print(f"{count:7}  {found[0]:>7}  {found[1]:>7}")


if __name__ == "__main__":
    main()
