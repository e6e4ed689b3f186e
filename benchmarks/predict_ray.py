"""Prediction of many small images by one process, on Ray, and by a pipeline of Ray Data alone.

The program starts a Ray cluster of two nodes of one processor each (127.0.0.2 and 127.0.0.3), and predicts
PNG images of 32 x 32 pixels with an ONNX file of a small convolutional network, on one thread for each copy
of it. All three write Parquet files. The pipeline of Ray Data alone is what its documentation shows:
`read_images`, `map_batches` with actors, and `write_parquet`. It cannot be continued, and ends at the first
image that cannot be read. The times include the start of all processes but those of the cluster. The memory
is the largest of the process that is started, above that two seconds after its start. `predict_faults.py`
has what faults cost.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import Row, main, spread
from PIL import Image
from ray_faults import node

from committee.exporters.base import Card, open_exported
from committee.exporters.onnx import Onnx
from committee.inference.packed_images import Reading, addresses, entries
from committee.inference.part_tables import PartTables
from committee.inference.photos import find_photos
from committee.inference.predict import canvases_of, predict_entries
from committee.inference.rules import rule_of
from committee.inference.time_limit import TimeLimit
from committee.models.member import Member

QUESTION = "predict on Ray"
FEW = 64
RAY_DATA = """
import sys
import ray

address, model, images, out = sys.argv[1:]
ray.init(address=address, log_to_driver=False)
import ray.data

ray.data.DataContext.get_current().enable_progress_bars = False

class Model:
    def __init__(self, path):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options)

    def __call__(self, batch):
        pixels = batch["image"].transpose(0, 3, 1, 2)
        (found,) = self.session.run(None, {self.session.get_inputs()[0].name: pixels})[:1]
        return {"id": batch["path"], **{f"class {each}": found[:, each] for each in range(found.shape[1])}}

found = ray.data.read_images(images, include_paths=True, mode="RGB")
pool = ray.data.ActorPoolStrategy(min_size=1, max_size=2)
found.map_batches(
    Model, fn_constructor_args=(model,), batch_size=32, compute=pool, num_cpus=1
).write_parquet(out)
"""


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


def predict(model: Path, images: Path, out: Path, *words: str) -> list[str]:
    """Return the words of `committee predict`."""
    return [
        sys.executable,
        "-m",
        "committee",
        "predict",
        str(model),
        str(images),
        "--parquet",
        str(out),
        *words,
    ]


def timed(command: list[str]) -> tuple[float, float]:
    """Return the seconds of a command, and its memory in MB: the largest, above that after its imports."""
    begin, least, most = time.perf_counter(), 0, 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
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


def shares(model: Path, images: Path) -> str:
    """Return the processor time of an image, in milliseconds, for each part of the work."""
    found = open_exported(model, "cpu", ())
    photos, tables = find_photos([images])[:1024], PartTables(found, rule_of(found, coverage=None))
    reading, limited = Reading(found.channels, canvases_of(found)), TimeLimit(found)
    marks = [time.process_time()]
    packed = [reading(addresses(photos[start : start + 32])) for start in range(0, len(photos), 32)]
    marks.append(time.process_time())
    unpacked = [list(entries(table, found.channels)) for table in packed]
    marks.append(time.process_time())
    answers = [list(predict_entries(limited, each)) for each in unpacked]
    marks.append(time.process_time())
    assert sum(len(tables.of(each)) for each in answers) == len(photos)
    marks.append(time.process_time())
    names = ("reading, resizing and packing", "unpacking", "the network", "rows")
    spent = [
        f"{name} {1000 * (b - a) / len(photos):.2f}"
        for name, (a, b) in zip(names, pairwise(marks), strict=True)
    ]
    return f"ms of processor time: {', '.join(spent)}"


def measure(quick: bool) -> list[Row]:
    """Return the rows of this file."""
    count, rounds = (2000, 1) if quick else (10000, 3)
    os.environ.update(
        RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(16), OMP_NUM_THREADS="1", RAY_TQDM="0"
    )
    found: dict[str, list[tuple[float, float]]] = {"local": [], "ray": [], "ray_data": [], "start": []}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        address, _ = stack.enter_context(node("127.0.0.2", "--head", "--port=0"))
        stack.enter_context(node("127.0.0.3", f"--address={address}"))
        model, images = write_model(folder), folder / "images"
        write_images(images, count)
        write_images(folder / "few", FEW)
        for turn in range(rounds):
            outs = {name: folder / f"{name}{turn}" for name in found}
            on_ray = ("--executor", "ray", "--address", address)
            alone = [sys.executable, "-c", RAY_DATA, address, str(model), str(images), str(outs["ray_data"])]
            found["local"].append(timed(predict(model, images, outs["local"])))
            found["ray"].append(timed(predict(model, images, outs["ray"], *on_ray)))
            found["ray_data"].append(timed(alone))
            found["start"].append(timed(predict(model, folder / "few", outs["start"], *on_ray)))
            assert rows_of(outs["ray"]).equals(rows_of(outs["local"]))
            assert len(rows_of(outs["ray_data"])) == count
        parts = shares(model, images)
    work = f"{count} images of 32 x 32 pixels to Parquet, an ONNX file, one thread for each copy"
    times = {name: [seconds for seconds, _ in each] for name, each in found.items()}
    rates = {name: f"{count / spread(each)[0]:.0f}" for name, each in times.items()}
    ray, own = times["ray"], spread(times["ray"])[0]
    later = (count - FEW) / spread([whole - start for whole, start in zip(ray, times["start"], strict=True)])[
        0
    ]
    start = spread(times["start"])
    return (
        [
            Row(
                QUESTION,
                f"{work}: Ray, two nodes, rows as of one process",
                peer,
                own,
                *spread([theirs / each for theirs, each in zip(times[name], ray, strict=True)]),
                note=f"{rates[name]} images a second, {rates['ray']} on Ray",
            )
            for peer, name in (("one process", "local"), ("Ray Data alone", "ray_data"))
        ]
        + [
            Row(
                QUESTION,
                f"{FEW} of them on Ray: the start",
                "",
                start[0],
                low=start[1],
                high=start[2],
                note=f"{later:.0f} images a second after it; {parts}",
            )
        ]
        + [
            Row(
                QUESTION,
                f"{work}: memory of {who}",
                "",
                spread([each for _, each in found[name]])[0],
                unit="MB",
            )
            for who, name in (("one process", "local"), ("the driver of Ray", "ray"))
        ]
    )


if __name__ == "__main__":
    main(measure, packages=("ray", "onnxruntime", "pyarrow"))
