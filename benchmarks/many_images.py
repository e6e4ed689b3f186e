"""Seconds and memory of opening a data set of 200,000 images, whose files are as small as possible.

What is measured is therefore what each image costs beside its pixels: its name, its label, its hash, its
folds. The data set is opened the first time (which decodes), again by a recipe that names the table (which
hashes the files again), and again from the store alone. Memory is the most that the process had above its
imports, divided by the number of images; the cache of pixels is memory-mapped and not counted.
"""

from __future__ import annotations

import io
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from harness import Row, main
from PIL import Image
from predicting import memory

from committee.images.dataset import open_dataset
from committee.recipe.dataset import Dataset as Settings
from committee.store.layout import Store

QUESTION, CLASSES = "open many images", 20


def write_images(root: Path, count: int) -> Path:
    """Write gray PNG files of 4 x 4 pixels, a thousand in a folder, and their table; return the table."""
    rng, table = np.random.default_rng(0), root / "table.csv"
    lines = ["path,label"]
    for row in range(count):
        name = f"part_{row // 1000:03d}/image_{row:06d}.png"
        if not row % 1000:
            (root / name).parent.mkdir()
        file = io.BytesIO()
        Image.fromarray(rng.integers(0, 256, (4, 4), dtype=np.uint8)).save(file, "PNG")
        (root / name).write_bytes(file.getvalue())
        lines.append(f"{name},class_{row % CLASSES:03d}")
    table.write_text("\n".join(lines), encoding="utf-8")
    return table


def measure(quick: bool) -> list[Row]:
    """Return seconds, and kilobytes per image, of each way to open the data set."""
    count = 200 if quick else 200_000
    with tempfile.TemporaryDirectory() as folder:
        given = Settings(path=str(write_images(Path(folder), count)), channels=1, num_workers=0)
        store = Store(Path(folder, "store"))
        ways: dict[str, Settings | None] = {
            "the first time": given,
            "again, files hashed": given,
            "from the store": None,
        }
        rows = []
        for way, settings in ways.items():
            seconds: list[float] = []

            def call(settings: Settings | None = settings, seconds: list[float] = seconds) -> Any:
                start = time.process_time()
                open_dataset(settings, store, img_sizes=[4], folds=5, seed=0)
                seconds.append(time.process_time() - start)

            grown = memory(call)
            work = f"{count:,} images of 4 x 4 pixels, {way}"
            rows.append(Row(QUESTION, f"{work}: CPU", "", seconds[0]))
            if grown is not None:
                rows.append(Row(QUESTION, f"{work}: memory of each", "", grown * 1024 / count, unit="kB"))
    return rows


if __name__ == "__main__":
    main(measure)
