"""How often a run that has nothing left to do reads each of its files, and its processor time.

A finished run of two small members, four ensembles and two packages is repeated, and the reads of files for
hashes are counted, with what the process remembers while it holds the lock of the store, and without.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from io import BufferedReader
from pathlib import Path
from unittest import mock

import numpy as np
from harness import Row, main
from PIL import Image
from sklearn.datasets import load_digits

from committee.pipeline.run import run as run_recipe
from committee.pipeline.shared import build as build_stage
from committee.pipeline.stages import evaluate
from committee.recipe.load import load_recipe
from committee.recipe.model import Recipe
from committee.store import hashes, lock
from committee.store.layout import Store

SETTINGS = [
    "dataset.img_size=32",
    "dataset.num_workers=0",
    "device=cpu",
    "training={folds: 2, epochs: 1, warmup_epochs: 0, lr: 1e-2, pretrained: false}",
    "backbones.include=[timm:test_resnet, timm:test_convnext]",
    "exports.formats=[state_dict]",
]


def measure(quick: bool) -> list[Row]:
    """Return how often a run with nothing left to do hashes a file of each kind, and its time."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_photos(root / "photos")
        recipe = load_recipe(None, [f"dataset.path={root / 'photos'}", *SETTINGS])
        store = Store(root / "store")
        run_recipe(recipe, store)
        time.sleep(hashes.SETTLED / 1e9)
        with mock.patch.object(lock, "memory", return_value=None):
            before, _ = hashed(recipe, store)
        after, seconds = hashed(recipe, store)
        with (
            mock.patch.object(build_stage, "is_kept", return_value=False),
            mock.patch.object(evaluate, "is_kept", return_value=False),
        ):
            _, again = hashed(recipe, store)
    rows = [
        Row(
            "repeated run: hashes of a file",
            kind,
            "",
            after[kind],
            unit="times",
            note=f"{before[kind]:.1f} without memory",
        )
        for kind in sorted(before)
    ]
    note = f"{again:.2f} s if ensembles and reports are made again"
    return [*rows, Row("repeated run", "2 members, 60 images, CPU time", "", seconds, note=note)]


def hashed(recipe: Recipe, store: Store) -> tuple[dict[str, float], float]:
    """Run a recipe; return the mean number of times that files of each kind are hashed, and the CPU time."""
    read: Counter[str] = Counter()
    sha256 = hashes._sha256

    def counted(file: BufferedReader) -> str:
        read[str(file.name)] += 1
        return sha256(file)

    start = time.process_time()
    with mock.patch.object(hashes, "_sha256", counted):
        run_recipe(recipe, store)
    seconds = time.process_time() - start
    kinds: dict[str, list[int]] = {}
    for name, times in read.items():
        kind = Path(name).relative_to(store.root).parts[0] if store.root in Path(name).parents else "photos"
        kinds.setdefault(kind, []).append(times)
    return {kind: sum(times) / len(times) for kind, times in kinds.items()}, seconds


def write_photos(root: Path) -> None:
    """Write 20 images of each of three classes."""
    digits = load_digits()
    for label in range(3):
        (root / str(label)).mkdir(parents=True)
        for number, image in enumerate(digits.images[digits.target == label][:20]):
            Image.fromarray(np.uint8(image * 15)).save(root / str(label) / f"{number}.png")


if __name__ == "__main__":
    main(measure)
