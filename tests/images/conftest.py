"""Small real photographs, written in the formats of the readers."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from committee.images import cache
from committee.images.decode import decode
from committee.recipe.dataset import Dataset as Settings


@pytest.fixture(scope="session")
def photos():
    """Twelve different 60 x 90 pieces of two photographs, uint8 [12, 60, 90, 3]."""
    china, flower = load_sample_images().images
    return np.stack(
        [
            picture[90 * k : 90 * k + 60, 60 * k : 60 * k + 90]
            for k in range(4)
            for picture in (china, flower, china[::-1])
        ]
    )


@pytest.fixture
def make_folder(tmp_path):
    """Write scans of digits as PNG files: `make_folder("root", {"train/0": 3, "train/1": 3})`."""

    def write(name: str, classes: dict[str, int]) -> Path:
        images = iter((load_digits().images * 15.9375).astype(np.uint8))
        for folder, count in classes.items():
            place = tmp_path / name / folder
            place.mkdir(parents=True)
            for row in range(count):
                Image.fromarray(next(images)).save(place / f"{row}.png")
        return tmp_path / name

    return write


@pytest.fixture
def make_table(make_folder):
    """Write `table.csv` next to 24 images in `images/`: `make_table(header, row -> cells)`."""

    def write(header: list[str], cells) -> Path:
        root = make_folder("tabled", {"images": 24})
        with (root / "table.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(header)
            writer.writerows(cells(row) for row in range(24))
        return root / "table.csv"

    return write


@pytest.fixture
def settings():
    """Build the recipe's `dataset` section, with `fit: crop`: `settings(path, test_size=0.5)`."""

    def build(path=None, **keys) -> Settings:
        return Settings(path=None if path is None else str(path), **{"num_workers": 0, "fit": "crop", **keys})

    return build


@pytest.fixture
def decoded(monkeypatch):
    """Count the images that are decoded."""
    count = []
    monkeypatch.setattr(cache, "decode", lambda *args, **keys: (count.append(1), decode(*args, **keys))[1])
    return count
