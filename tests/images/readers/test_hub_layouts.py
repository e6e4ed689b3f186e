"""Layouts of data hubs: a table for each split, JSON lines, and archives with arrays for each split."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from committee.errors import DataError
from committee.images.readers.base import READERS, Samples
from committee.images.readers.metadata import Metadata
from committee.images.readers.numpy import Numpy


def image(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4)).save(path)


def lines(path: Path, *rows: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n", encoding="utf-8")


def test_json_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a.png", "deep/b.png", "c.png"):
        image(tmp_path / name)
    lines(
        tmp_path / "metadata.jsonl",
        {"file_name": "a.png", "label": 1, "group": None},
        {"file_name": "deep/b.png", "label": 0, "group": "p7", "text": "a caption"},
    )
    found = Metadata(tmp_path).read()
    assert (found.ids, found.labels, found.class_names) == (["a.png", "deep/b.png"], ["1", "0"], ("0", "1"))
    assert "left out 1 image that no row of the table names: 'c.png'" in caplog.text


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_table_for_each_split(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The splits are those of the folders; a split without labels is left out and counted."""
    for split, labels in {"train": "xy", "validation": "yx", "test": "  "}.items():
        rows: list[dict[str, object]] = [
            {"file_name": f"images/{row}.png", "label": label.strip()} for row, label in enumerate(labels)
        ]
        for row in rows:
            image(tmp_path / split / str(row["file_name"]))
        if kind == "jsonl":
            lines(tmp_path / split / "metadata.jsonl", *rows)
        else:
            text = "".join(f"{row['file_name']},{row['label']}\n" for row in rows)
            (tmp_path / split / "metadata.csv").write_text(f"file_name,label\n{text}", encoding="utf-8")
    assert READERS.load("metadata").accepts(tmp_path)
    found = Metadata(tmp_path).read()
    assert found.ids == [f"{split}/images/{row}.png" for split in ("train", "validation") for row in (0, 1)]
    assert (found.labels, found.splits) == (["x", "y", "y", "x"], ["train", "train", "val", "val"])
    assert f"{tmp_path / 'test'}: left out 2 images without a label" in caplog.text


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("[1]", ":1: expected a JSON object, got list."),
        ('{"file_name": "a.png", "label": ["x"]}', ":1: label: expected one class per image, as text"),
        ("{", ":1: expected a JSON object, got Expecting property name"),
        ('{"file_name": "a.png", "text": "x"}', ": expected a column 'label', got 'file_name', 'text'"),
    ],
)
def test_lines_that_are_no_rows(line: str, expected: str, tmp_path: Path) -> None:
    image(tmp_path / "a.png")
    (tmp_path / "metadata.jsonl").write_text(line, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        Metadata(tmp_path).read()
    assert str(caught.value).startswith(f"{tmp_path / 'metadata.jsonl'}{expected}")


def archive(tmp_path: Path, **arrays: object) -> Samples:
    np.savez(tmp_path / "data.npz", **arrays)
    return Numpy(tmp_path / "data.npz").read()


@pytest.mark.parametrize(("images", "labels"), [("{}_images", "{}_labels"), ("x_{}", "y_{}")])
def test_arrays_of_splits(images: str, labels: str, tmp_path: Path) -> None:
    sizes = {"train": 3, "val": 2, "test": 2}
    arrays = {
        name: value
        for place, (split, size) in enumerate(sizes.items())
        for name, value in (
            (images.format(split), np.full((size, 4, 4, 3), place, np.uint8)),
            (labels.format(split), np.arange(size)[:, None] % 2),
        )
    }
    found = archive(tmp_path, **arrays)
    assert found.splits == ["train"] * 3 + ["val"] * 2 + ["test"] * 2
    assert found.labels == ["0", "1", "0", "0", "1", "0", "1"] and found.ids[2:4] == ["train/2", "val/0"]
    assert isinstance(found.images, np.ndarray) and found.images[:, 0, 0, 0].tolist() == [0, 0, 0, 1, 1, 2, 2]


def test_arrays_of_splits_that_do_not_fit(tmp_path: Path) -> None:
    four, eight = np.zeros((2, 4, 4), np.uint8), np.zeros((2, 8, 8), np.uint8)
    both = np.array([[0], [1]])
    for arrays, expected in (
        ({"train_images": four}, "train: expected an array of labels, one for each image, got none."),
        (
            {"train_images": four, "train_labels": both, "test_images": eight, "test_labels": both},
            "images: expected images of equal size in all splits, got train [4, 4], test [8, 8].",
        ),
        (
            {"train_images": four, "train_labels": np.eye(2, dtype=int)},
            "labels: expected one class per image, [N] or [N, 1], got an array [2, 2]. "
            "Choose one label of each image, or one column. To predict all columns as "
            "numbers, name them: dataset.targets=[first, second].",
        ),
    ):
        with pytest.raises(DataError) as caught:
            archive(tmp_path, **arrays)
        assert str(caught.value) == f"{tmp_path / 'data.npz'}: {expected}"
