"""Embeddings of a data set by trained networks, stored in memory-mapped files."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from committee.errors import DataError, TrainingError, UsageError
from committee.images.dataset import Dataset
from committee.models.member import Member
from committee.models.stored import load_network
from committee.store.mapped import create_array
from committee.training.fit.batches import Rows
from committee.training.fit.memory import halving

Split = Literal["train", "val", "test"]
EMPTY = "empty.json"
SPLITS: tuple[Split, ...] = ("train", "val", "test")


def extract(
    networks: Mapping[str, Path],
    dataset: Dataset,
    folder: Path,
    *,
    batch_size: int,
    device: torch.device,
    trusted: bool | Collection[str],
) -> None:
    """Write the embeddings of all rows by each network of a member, with one network in memory at a time.

    Parameters
    ----------
    networks : mapping of str to Path
        Fit (`fold_0`, ..., `refit`) -> folder where its network is stored.
    dataset : Dataset
    folder : Path
        `train.npy`, `val.npy` and `test.npy`, float32 `[N, D]` in the row order of the data set, are written
        to it for the refit, and to a subfolder for each fold network. The file of a split without rows is
        empty (N = 0), and `empty.json` has the reason.
    batch_size : int
        Images in a batch; fewer where memory runs out.
    device : torch.device
    trusted : bool or collection of str
        The `python:` backbones that may be built; True allows all.

    Raises
    ------
    UsageError
        The member is not a single network, has no embedding, or has a builder that is not trusted.
    TrainingError
        There is no memory for a single image, or an embedding is not finite.
    """
    absent = [split for split in SPLITS if not len(dataset.rows(split))]
    for fit, place in networks.items():
        member = one_network(place, trusted)
        member.to(device)
        width = 0
        for split in (each for each in SPLITS if each not in absent):
            target = file_of(folder, fit, split)
            target.parent.mkdir(parents=True, exist_ok=True)
            width = _write(member, dataset, dataset.rows(split), target, batch_size, device)
        for split in absent:
            np.save(file_of(folder, fit, split), np.empty((0, width), np.float32))
    reasons = {split: f"The data set has no {split} split." for split in absent}
    (folder / EMPTY).write_text(json.dumps(reasons, indent=1) + "\n", encoding="utf-8")


def one_network(place: Path, trusted: bool | Collection[str]) -> Member:
    """Load a stored member that is a single network; see `load_network`.

    Raises
    ------
    UsageError
        The member consists of several networks, or its builder is not trusted.
    """
    member = load_network(place, trusted)
    if not isinstance(member, Member):
        raise UsageError(
            str(member.name),
            expected="a member that is a single network",
            got=type(member).__name__,
            todo="Exclude it: add it to backbones.exclude.",
        )
    return member


def file_of(folder: Path, fit: str, split: Split) -> Path:
    """Return the file with the embeddings of a split by one network of a member."""
    return (folder if fit == "refit" else folder / fit) / f"{split}.npy"


def read(folder: Path, fit: str, split: Split, rows: int) -> NDArray[np.float32]:
    """Map stored embeddings into memory, read-only.

    Returns
    -------
    float32 array `[N, D]`

    Raises
    ------
    DataError
        The number of rows is not the expected one.
    """
    found: NDArray[np.float32] = np.load(file_of(folder, fit, split), mmap_mode="r", allow_pickle=False)
    if found.ndim != 2 or len(found) != rows:
        raise DataError(
            str(file_of(folder, fit, split)),
            expected=f"embeddings of {rows} rows",
            got=f"an array {list(found.shape)}",
            todo="Remove the folder and run the command again.",
        )
    return found


@torch.inference_mode()
def _write(
    member: Member, dataset: Dataset, rows: Rows, target: Path, batch_size: int, device: torch.device
) -> int:
    """Write the embeddings of some rows, and return their length."""
    mapped, width, start = None, 0, 0
    while start < len(rows):

        def some(size: int, start: int = start) -> NDArray[np.float32]:
            images = dataset.images(rows[start : start + size], member.view).to(device)
            return member.embed(images).float().cpu().numpy()

        part, batch_size = halving(some, min(batch_size, len(rows) - start), f"embeddings of {member.name}")
        if not np.isfinite(part).all():
            raise TrainingError(member.name, expected="finite embeddings", got="NaN or infinity")
        if mapped is None:
            width = part.shape[1]
            mapped = create_array(target, (len(rows), width), np.float32)
        mapped[start : start + len(part)] = part
        start += len(part)
    if mapped is not None:
        mapped.flush()
        # Windows does not rename a folder that contains a mapped file.
        del mapped
    return width
