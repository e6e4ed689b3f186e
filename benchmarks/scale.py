"""What 1,000 members x 1 million images x 1,000 classes need: bytes, and time against the number of nodes.

A simulation in closed form (`simulations/scaling.py`). What operations cost is measured on this machine at
small sizes: commits, reading, a store with a few linear networks, `combine`, and the index of a store on
object storage. Then it is checked: real stores of 10, 30 and 100 members are trained, as many files are
combined, and as many folders are committed, here and to a server of the S3 API, and what was predicted is
compared with what they needed. What one machine cannot measure is an option with a source. With matplotlib,
the figure `docs/images/scale.png` is drawn.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import Row, absent, installed, main, seconds
from simulations.measured_costs import combined, committed, costs, of_commits, trained
from simulations.scaling import (
    Cluster,
    Costs,
    Uploads,
    Workload,
    combination,
    driver_seconds,
    limit,
    prediction,
    returned,
    stored,
    total,
    training,
)

QUESTION, CHECK = "scale", "scale, checked"
FIGURE = Path(__file__).parents[1] / "docs" / "images" / "scale.png"
NODES = (1, 2, 4, 8, 16, 32, 64)
TARGET = Workload(1000, 10**6, 50_000, 1000, 5, 258 * 258 * 3, 25.6e6 * 4)
"""ImageNet's size: images of 224 pixels, whose canvases have 258, and networks of the size of ResNet-50."""
OPTIONS = {
    "slots": (8, "fits at once on a node, one on each GPU"),
    "link": (25, "Gbit/s of the network of a node: usual for GPU servers"),
    "request": (0.15, "seconds of a request to S3: Amazon's performance guidelines name 0.1 to 0.2 s"),
    "upload": (
        700,
        "MB/s to S3: eight files at once, at 85 to 90 MB/s each according to the same guidelines",
    ),
    "task": (0.1, "seconds that a fit takes longer on Ray, an assumption; ray_overhead.py measures it"),
    "train": (2470, "images/s that a GPU trains: ResNet-50 on an A100 in NVIDIA's DeepLearningExamples"),
    "predict": (3382, "images/s that a GPU predicts: ResNet-50 on a V100 in the same table, batches of 256"),
    "epochs": (90, "epochs of a fit: the schedule of the same table"),
}


def measure(quick: bool, **options: float) -> list[Row]:
    """Measure costs, simulate the target, and check the model."""
    given = {name: default for name, (default, _) in OPTIONS.items()} | options
    with contextlib.chdir(tempfile.gettempdir()):
        found = costs(quick)
        rows = [_measured(name, value) for name, value in vars(found).items()]
        rows += simulated(found, given)
        for members in (2,) if quick else (10, 30, 100):
            rows += checked(found, members, quick)
        rows += list(uploads(quick, given))
    if not quick and importlib.util.find_spec("matplotlib"):
        draw(found, given)
    return rows


def _measured(name: str, value: float) -> Row:
    """Return the row of a cost."""
    unit = "B" if name in ("image", "row", "folder", "ensemble") else "s"
    return Row(f"{QUESTION}: measured here", name, "", value, unit=unit)


def cluster_of(given: dict[str, float]) -> Cluster:
    """Return the cluster that the options describe."""
    return Cluster(
        int(given["slots"]), given["link"] / 8 * 1e9, given["request"], given["upload"] * 1e6, given["task"]
    )


def fit_seconds(work: Workload, given: dict[str, float]) -> float:
    """Return the seconds of a fit with the predictions of the rows that it did not see."""
    share = work.folds / (work.folds + 1) * (1 - 1 / work.folds) + 1 / (work.folds + 1)
    predicted = work.images / (work.folds + 1) + work.test_images
    return given["epochs"] * work.images * share / given["train"] + predicted / given["predict"]


def simulated(found: Costs, given: dict[str, float], work: Workload = TARGET) -> Iterator[Row]:
    """Yield bytes and times of the target."""
    size = f"{work.members:,} members x {work.images:,} images x {work.classes:,} classes"
    for name, number in stored(work, found).items():
        yield Row(f"{QUESTION}: storage", f"{size}, {name}", "", number / 1e12, unit="TB")
    for value, kind in ((2, "float16"), (4, "float32")):
        scores = replace(work, value_bytes=value).scores * work.members
        yield Row(f"{QUESTION}: storage", f"{size}, files of scores in {kind}", "", scores / 1e12, unit="TB")
    yield Row(f"{QUESTION}: network", f"{size}, results", "", returned(work, found) / 1e12, unit="TB")
    cluster, fit = cluster_of(given), fit_seconds(work, given)
    writer = driver_seconds(work, found) / 3600
    yield Row(f"{QUESTION}: the one writer", size, "", writer, unit="hours")
    for nodes in NODES:
        parts = training(work, found, cluster, nodes, fit)
        note = f"limited by {limit(parts)}; " + ", ".join(f"{k} {v / 3600:.3g} h" for k, v in parts.items())
        yield Row(
            f"{QUESTION}: training",
            f"{size}, {nodes} nodes",
            "",
            total(parts) / 3600,
            note=note,
            unit="hours",
        )
        hours = prediction(work, cluster, nodes, 10**6, given["predict"]) / 3600
        yield Row(
            f"{QUESTION}: prediction of 1 million images", f"{size}, {nodes} nodes", "", hours, unit="hours"
        )
    hours = combination(work, found) / 3600
    yield Row(f"{QUESTION}: combination", f"{size}, one method with its scores", "", hours, unit="hours")


def checked(found: Costs, members: int, quick: bool) -> Iterator[Row]:
    """Yield what was predicted for real stores and files of some members, and what they needed."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        work, sizes, taken = trained(Path(name, "store"), members)
        for part, predicted in stored(work, found).items():
            yield _compared(f"{members} members, bytes of {part}", predicted / 1e6, sizes[part] / 1e6, "MB")
        yield _compared(f"{members} members, training", found.start + members * found.member, taken)
        rows, classes = (60, 5) if quick else (8_000, 400)
        files = Workload(members, rows, 0, classes, 5, 0, 0, 2)
        taken = combined(Path(name), members, rows, classes)
        yield _compared(f"{members} x {rows:,} x {classes} values, combine", combination(files, found), taken)
        size, now = 1000 if quick else 4_000_000, replace(found, **of_commits(Path(name, "now"), quick))
        taken = committed(Path(name, "commits"), members, size)
        predicted = members * (now.commit + size * now.commit_byte)
        yield _compared(f"{members} commits of {size / 1e6:g} MB", predicted, taken)


def _compared(work: str, predicted: float, needed: float, unit: str = "s") -> Row:
    ratio = needed / predicted if predicted else 1.0
    return Row(CHECK, work, "a real run", predicted, ratio, ratio, ratio, unit=unit)


def uploads(quick: bool, given: dict[str, float]) -> Iterator[Row]:
    """Yield what commits to object storage cost, after those to a server on this machine."""
    if not (installed("obstore") and installed("moto") and installed("boto3")):
        yield absent(f"{QUESTION}: object storage", "all", "", None, "obstore or moto")
        return
    from remote_store import server

    counts = (2,) if quick else (10, 30, 100)
    with tempfile.TemporaryDirectory() as folder, server() as counted:
        os.environ["COMMITTEE_STORE_CACHE"] = folder
        try:
            alone = _uploaded(counted, "alone", counts[0])[1] / counts[0]
            of_index = replace(index_costs(), commit=alone)
            counted.latency = LATENCY
            here = Cluster(1, 1, LATENCY, 1e12, 0)
            for folders in counts:
                sent, taken = _uploaded(counted, f"s{folders}", folders)
                work = f"{folders} commits to a server with {1000 * LATENCY:g} ms a request"
                predicted = of_index.sent(folders, CONTENT)
                yield _compared(f"{work}, sent", predicted / 1e6, sent / 1e6, "MB")
                yield _compared(work, of_index.seconds(folders, CONTENT, here), taken)
        finally:
            del os.environ["COMMITTEE_STORE_CACHE"]
    cluster = cluster_of(given)
    for folders in (1_000, 10_000, 100_000):
        hours = of_index.seconds(folders, CONTENT, cluster) / 3600
        note = f"{of_index.sent(folders, CONTENT) / 1e9:.3g} GB are sent"
        work = f"{folders:,} commits of {CONTENT / 1000:g} kB to S3"
        yield Row(f"{QUESTION}: object storage", work, "", hours, unit="hours", note=note)


CONTENT, LATENCY = 10_000, 0.05
"""Bytes of a folder that is committed to object storage, and seconds of a request to the server here."""


def _uploaded(counted: Any, name: str, folders: int) -> tuple[int, float]:
    """Return the bytes that commits to a new store send, and their seconds."""
    from committee.store.commit import commit
    from committee.store.layout import Store

    store = Store(f"s3://bucket/{name}")
    with store.hold():
        counted.seen.clear()

        def write() -> None:
            for number in range(folders):
                with commit(
                    store.checkpoint(f"member_{number:04}", 0), kind="checkpoint", fingerprint="x"
                ) as new:
                    (new / "weights.safetensors").write_bytes(bytes(CONTENT))

        taken = seconds(write)
        return counted.seen["up"], taken


def index_costs() -> Uploads:
    """Return what the index of a store costs, from one with a thousand folders."""
    from committee.store.remote.index import Entry, Index
    from committee.store.remote.state import State

    entries = {f"checkpoints/member_{n:04}/fold_0": Entry("0" * 16, "0" * 64, 400, True) for n in range(1000)}
    few, many = (len(Index(dict(list(entries.items())[:n])).to_bytes("0" * 16)) for n in (1, 1000))
    entry = (many - few) / 999
    state = State("s3://bucket", index=Index(entries), known={path: [400, 1, "0" * 64] for path in entries})
    with tempfile.TemporaryDirectory() as folder:
        start = time.process_time()
        for _ in range(5):
            Index(entries).to_bytes("0" * 16)
            state.save(Path(folder, "state.json"))
        encode = (time.process_time() - start) / 5 / many
    return Uploads(entry, few - entry, encode, 0.0)


def draw(found: Costs, given: dict[str, float]) -> None:
    """Draw bytes against members, and hours against nodes."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    members = (10, 30, 100, 300, 1000)
    works = [replace(TARGET, members=count) for count in members]
    for part in stored(TARGET, found):
        left.loglog(members, [stored(work, found)[part] / 1e12 for work in works], "o-", label=part)
    halves = [replace(work, value_bytes=2).scores * work.members / 1e12 for work in works]
    left.loglog(members, halves, "k--", label="scores alone, float16")
    left.set(xlabel="members", ylabel="TB", title="storage, 1 million images x 1,000 classes")
    cluster, fit = cluster_of(given), fit_seconds(TARGET, given)
    for label, each in {"ResNet-50, 90 epochs": fit, "of 10 minutes": 600.0, "of 30 s": 30.0}.items():
        hours = [total(training(TARGET, found, cluster, nodes, each)) / 3600 for nodes in NODES]
        right.loglog(NODES, hours, "o-", label=f"6,000 fits: {label}")
    right.axhline(driver_seconds(TARGET, found) / 3600, color="k", linestyle="--", label="the one writer")
    right.set(xlabel=f"nodes of {cluster.slots} GPUs", ylabel="hours", title="training of 1,000 members")
    right.set_xticks(NODES, map(str, NODES))
    for panel in (left, right):
        panel.grid(which="major", linewidth=0.4, alpha=0.6)
        panel.minorticks_off()
        panel.legend(fontsize=8)
    figure.savefig(FIGURE, dpi=100, metadata={"Software": None})
    plt.close(figure)


if __name__ == "__main__":
    main(measure, packages=("obstore", "moto"), options=OPTIONS)
