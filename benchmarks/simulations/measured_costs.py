"""The costs that `scaling` needs, measured with small stores and files, and the same for real runs."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from harness import seconds
from simulations.scaling import Costs, Workload

from committee.pipeline.combine import combine
from committee.pipeline.run import run_verb
from committee.predictions.reading import Reading
from committee.recipe.load import load_recipe
from committee.store.commit import commit
from committee.store.layout import Store
from committee.store.manifest import read_manifest

RECIPE = (
    "dataset={name: digits, channels: 1, img_size: 8, batch_size: 256}",
    "training={folds: 2, epochs: 1, warmup_epochs: 0, lr: 0.01, pretrained: false, augment: none,"
    " together: none}",
    "device=cpu",
    "workers=1",
)
LINEAR = (64 * 10 + 10) * 4
"""Bytes of the weights of `peers.small_networks:linear` for the digits."""

Sizes = dict[str, float]


def trained(folder: Path, members: int) -> tuple[Workload, Sizes, float]:
    """Train linear networks on the digits of scikit-learn, and store an ensemble of them.

    Returns
    -------
    work : Workload
    found : dict of str to float
        Bytes of each folder of the store.
    seconds : float
        Time of the training.
    """
    store, model = Store(folder), "python:peers.small_networks:linear"
    recipe = load_recipe(None, [*RECIPE, f"models=[{{name: '{model}', seeds: {list(range(members))}}}]"])
    start = time.perf_counter()
    failed = run_verb("train", recipe, store).failed
    taken = time.perf_counter() - start
    assert not failed, failed
    run_verb("build-ensemble", recipe, store, methods=["soft_voting"])
    first = store.kfold(store.members()[0])
    shapes = [np.load(first / what / "logits.npy").shape for what in ("oof", "test_refit")]
    pixels = np.load(next(folder.glob("cache/*/canvas.npy")), mmap_mode="r")[0].nbytes
    work = Workload(members, shapes[0][1], shapes[1][1], shapes[0][2], 2, pixels, LINEAR)
    return work, sizes(folder), taken


def sizes(folder: Path) -> Sizes:
    """Return the bytes of the files in each folder of a store."""
    return {
        part.name: float(sum(file.stat().st_size for file in part.rglob("*") if file.is_file()))
        for part in folder.iterdir()
        if part.is_dir()
    }


def combined(folder: Path, members: int, rows: int, classes: int) -> float:
    """Return the processor time of `combine` with one method, from files in float16 that stay on disk."""
    random = np.random.default_rng(0)
    labels = np.arange(rows) % classes
    shared = random.standard_normal((rows, classes), np.float32)
    shared[np.arange(rows), labels] += 3
    files = [folder / f"member{member:03d}.npy" for member in range(members)]
    for file in files:
        noise = random.standard_normal((rows, classes), np.float32)
        np.save(file, (shared + noise).astype(np.float16))
    np.save(folder / "ids.npy", np.arange(rows))
    np.save(folder / "labels.npy", labels)
    start = time.process_time()
    combine(files, methods=["weighted"], reading=Reading(on_disk=True))
    taken = time.process_time() - start
    for file in files:
        file.unlink()
    return taken


def committed(folder: Path, folders: int, size: int) -> float:
    """Return the seconds in which folders are committed one after the other."""
    content = np.random.default_rng(0).bytes(size)

    def write() -> None:
        for number in range(folders):
            with commit(folder / str(number), kind="checkpoint", fingerprint="x") as new:
                (new / "weights.safetensors").write_bytes(content)
                (new / "epochs.csv").write_bytes(b"1")

    return seconds(write)


def costs(quick: bool) -> Costs:
    """Measure everything at small sizes."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        folder = Path(name)
        return Costs(
            **of_commits(folder / "c", quick), **_of_stores(folder, quick), **_of_combining(folder, quick)
        )


def of_commits(folder: Path, quick: bool) -> dict[str, float]:
    """Return the costs of a commit, and of reading what it wrote."""
    rounds, large = (1, 10**5) if quick else (5, 5 * 10**7)
    small = statistics.median(committed(folder, 1, 1000) for _ in range(4 * rounds))
    whole = statistics.median(committed(folder, 1, large) for _ in range(rounds))
    read = seconds(lambda: (read_manifest(folder / "0"), (folder / "0" / "weights.safetensors").read_bytes()))
    return {"commit": small, "commit_byte": max(whole - small, 0.0) / large, "read_byte": read / large}


def _of_stores(folder: Path, quick: bool) -> dict[str, float]:
    """Return what rows and folders need beside their arrays, and the time of members, from two stores."""
    counts = (1, 2) if quick else (2, 6)
    if not quick:
        trained(folder / "imports", 1)
    _, found, first = trained(folder / "one", counts[0])
    work, found, second = trained(folder / "other", counts[1])
    networks = work.members * (work.folds + 1)
    scores = work.scores + (work.folds + 1) * work.test_scores
    arrays = networks * work.weight_bytes + work.members * scores
    joined = work.members * (work.scores + 2 * work.test_scores)
    rows = work.members * (work.images + 2 * work.test_images)
    member = max(second - first, 0.0) / (counts[1] - counts[0])
    of_rows, images = (found["kfold"] - joined) / rows, work.images + work.test_images
    return {
        "image": found["cache"] / images - work.image_bytes,
        "folder": (found["checkpoints"] - arrays) / networks,
        "row": of_rows,
        "ensemble": found["ensembles"] - work.members * (work.scores + work.images) - work.images * of_rows,
        "member": member,
        "start": max(first - counts[0] * member, 0.0),
    }


def _of_combining(folder: Path, quick: bool) -> dict[str, float]:
    """Return the costs of `combine`, of which one depends on the members, and one on the result alone."""
    few, many, rows, classes = (2, 4, 50, 4) if quick else (3, 27, 7_000, 400)
    combined(folder, few, 50, 4)  # imports
    fixed = min(combined(folder, few, 50, 4) for _ in range(2))
    rounds = [
        [combined(folder, each, rows, classes) for each in (few, many)] for _ in range(1 if quick else 2)
    ]
    first, second = map(min, zip(*rounds, strict=True))
    size = rows * classes
    value = max(second - first, 0.0) / ((many - few) * size)
    result = max(first - fixed - few * size * value, 0.0) / size
    return {"combine": fixed, "combine_value": value, "combine_result": result}
