"""A data set and a spec for tests of training; also imported by the processes that they start."""

from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from committee.base.folds import make_folds
from committee.images.dataset import Dataset
from committee.images.view import CanvasSpec
from committee.recipe.load import load_recipe
from committee.recipe.members import MemberSpec

FAST = (
    "dataset.img_size=8",
    "dataset.channels=1",
    "dataset.batch_size=32",
    "training.lr=0.01",
    "training.folds=3",
    "training.epochs=3",
    "training.pretrained=false",
)


class Ticking:
    """A clock that reaches 1 when a process has asked it so many times."""

    def __init__(self, ticks: int) -> None:
        self.left = ticks

    def __call__(self) -> float:
        self.left -= 1
        return float(self.left < 0)


def make_spec(*overrides: str, net: str = "tiny") -> MemberSpec:
    words = [*FAST, f"backbones.include=['python:tiny_nets:{net}']", *overrides]
    (spec,) = load_recipe(None, words).members()
    return spec


def make_dataset(folder: Path, folds: int = 3, **changes: Any) -> Dataset:
    """240 digits to train on, 40 in a val split, 80 to test on, cached as 10 x 10 pixels."""
    digits = load_digits()
    images = np.pad(digits.images[:360] * 15.9, [(0, 0), (1, 1), (1, 1)]).astype(np.uint8)[..., None]
    path = folder / "canvas.npy"
    folder.mkdir(parents=True, exist_ok=True)
    np.save(path, images)
    splits = np.array(["train"] * 240 + ["val"] * 40 + ["test"] * 80)
    dealt = np.full(360, -1, np.int64)
    if folds:
        dealt[:240] = make_folds(digits.target[:240], folds, seed=0)
    settings: dict[str, Any] = {
        "name": "digits",
        "fingerprint": "f",
        "canvases": {CanvasSpec(10, "crop", 1): np.load(path, mmap_mode="r")},
        "labels": digits.target[:360].astype(np.int64),
        "groups": None,
        "sample_ids": np.array([f"d{n:04}" for n in range(360)]),
        "class_names": tuple("0123456789"),
        "splits": splits,
        "folds": dealt,
        "fit": "crop",
        "channels": 1,
    }
    return Dataset(**settings | changes)
