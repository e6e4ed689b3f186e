"""Folders of images and masks: layouts, pairs by name, and what is said of files that are no pairs."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from committee.errors import DataError
from committee.images.source import read
from committee.recipe.dataset import Dataset as Settings


def fill(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.eye(8, dtype=np.uint8)).save(path)
    return root


def pairs(root: Path) -> dict[str, str]:
    samples = read(Settings(path=str(root)))
    assert samples.masks is not None and samples.target_type.name == "class_maps"
    masks = [Path(str(path)).relative_to(root).as_posix() for path in samples.masks.sources]
    return dict(zip(samples.ids, masks, strict=True))


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("images/a.jpg", "masks/a.png"),
        ("images/a.png", "labels/a_mask.tif"),
        ("Images/sub/a.png", "annotations/sub/a-labels.png"),
        ("train/images/a_1.png", "train/masks/a_1.png"),
        ("images/training/a.jpg", "annotations/training/a.png"),
    ],
)
def test_pairs_have_the_same_name(tmp_path, image, mask):
    assert pairs(fill(tmp_path, image, mask, "other/x.png")) == {image: mask}


def test_an_ending_is_a_part_of_the_name_if_an_image_has_it(tmp_path):
    names = ("a.png", "a_mask.png")
    found = pairs(fill(tmp_path, *(f"{folder}/{name}" for folder in ("images", "masks") for name in names)))
    assert found == {f"images/{name}": f"masks/{name}" for name in names}


@pytest.mark.parametrize("layout", ["{split}/{kind}/{name}", "{kind}/{split}/{name}"])
def test_folders_of_splits(tmp_path, layout):
    for split in ("train", "validation", "test"):
        for kind in ("images", "masks"):
            fill(tmp_path, layout.format(split=split, kind=kind, name=f"{split}.png"))
    samples = read(Settings(path=str(tmp_path)))
    assert sorted(samples.splits) == ["test", "train", "val"]
    assert all(split in name for split, name in zip(samples.splits, samples.ids, strict=True))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ["images/a.png", "images/b.png", "masks/a.png"],
            "masks: expected a mask for each file in images, with the same name, got none for 'b.png'. Add "
            "what is missing, or remove these files.",
        ),
        (
            ["images/a.png", "masks/a.png", "masks/b.png"],
            "images: expected an image for each file in masks, with the same name, got none for 'b.png'. Add "
            "what is missing, or remove these files.",
        ),
        (
            ["images/a.png", "masks/a.png", "masks/a_mask.tif"],
            "masks: expected one mask of each name, got 'a.png', 'a_mask.tif'. Rename or remove all but one.",
        ),
        (
            ["images/a.png", "images/a.jpg", "masks/a.png"],
            "images: expected one image of each name, got 'a.jpg', 'a.png'. Rename or remove all but one.",
        ),
        (
            ["images/a.png", "masks/a.jpg"],
            "masks: expected masks as .png, .tif, .tiff, .npy, got 'a.jpg'. Convert or remove them; JPEG "
            "files do not keep the numbers of classes.",
        ),
        (
            ["images/a.png", "masks/a.png", "labels/a.png"],
            ": expected one folder of masks, got 'masks', 'labels'. Move the others elsewhere.",
        ),
    ],
)
def test_files_that_are_no_pairs_are_named(tmp_path, names, message):
    with pytest.raises(DataError) as caught:
        read(Settings(path=str(fill(tmp_path, *names))))
    place, _, said = message.partition(":")
    assert str(caught.value) == f"{tmp_path / place if place else tmp_path}:{said}"


def test_a_folder_of_images_without_one(tmp_path):
    fill(tmp_path, "masks/a.png", "images/a.tif")
    with pytest.raises(DataError) as caught:
        read(Settings(path=str(tmp_path)))
    expected = "expected JPEG, PNG or WebP images, got none, but a TIFF image (a.tif)."
    assert str(caught.value) == f"{tmp_path / 'images'}: {expected}"


def rows(root: Path, count: int = 4) -> list[dict[str, str]]:
    names = [f"{row}.png" for row in range(count)]
    fill(root, *(f"{kind}/{name}" for kind in ("pictures", "where") for name in names))
    return [
        {"path": f"pictures/{name}", "mask": f"where/{name}", "fold": "ab"[row % 2]}
        for row, name in enumerate(names)
    ]


def table(root: Path, reader: str) -> Path:
    """Write pairs in one of the formats of tables."""
    found = rows(root)
    if reader == "parquet":
        arrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(arrow.Table.from_pylist(found), root / "d.parquet")
        return root / "d.parquet"
    header = ",".join(found[0]).replace("path", "file_name" if reader == "metadata" else "path")
    lines = [header, *(",".join(row.values()) for row in found)]
    path = root / ("metadata.csv" if reader == "metadata" else "d.csv")
    path.write_text("\n".join(lines), encoding="utf-8")
    return root if reader == "metadata" else path


@pytest.mark.parametrize("reader", ["csv", "parquet", "metadata"])
def test_tables_with_a_column_of_masks(tmp_path, reader, caplog):
    samples = read(Settings(path=str(table(tmp_path, reader))))
    assert samples.target_type.name == "class_maps" and samples.folds == ["a", "b", "a", "b"]
    assert [path.name for path in samples.masks.sources] == [Path(name).name for name in samples.ids]
    assert samples.masks.places == (tmp_path / "where", tmp_path)
    fewer = samples.without({samples.ids[0]})
    assert len(fewer.masks.sources) == 3 and "left out" not in caplog.text


def test_a_hub_folder_with_masks_in_each_split(tmp_path, caplog):
    for split in ("train", "test"):
        table(tmp_path / split, "metadata")
    samples = read(Settings(path=str(tmp_path)))
    assert samples.ids[0] == "test/pictures/0.png" and str(samples.masks.sources[0]).endswith(
        "test/where/0.png"
    )
    assert samples.splits.count("test") == 4 and "left out" not in caplog.text


def test_a_table_with_labels_is_one_of_labels(tmp_path):
    path = table(tmp_path, "csv")
    lines = path.read_text("utf-8").splitlines()
    path.write_text(
        "\n".join([lines[0] + ",label", *(f"{line},{'xy'[row % 2]}" for row, line in enumerate(lines[1:]))])
    )
    assert read(Settings(path=str(path))).labels == ["x", "y", "x", "y"]


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("a.npz", {"images": "images", "masks": "masks"}),
        (
            "a.npz",
            {
                "train_images": "images",
                "train_masks": "masks",
                "test_images": "images",
                "test_masks": "masks",
            },
        ),
        ("a.npz", {"x_train": "images", "y_train": "masks", "x_test": "images", "y_test": "masks"}),
        ("", {"images": "images", "masks": "masks"}),
    ],
)
@pytest.mark.parametrize("shape", [(6, 8, 9), (6, 8, 9, 2)])
def test_arrays_of_masks(tmp_path, name, files, shape):
    values = {
        "images": np.zeros((6, 8, 9, 3), np.uint8),
        "masks": np.ones(shape, np.float32 if len(shape) > 3 else int),
    }
    if name:
        np.savez(tmp_path / name, **{key: values[value] for key, value in files.items()})
    else:
        for key in files:
            np.save(tmp_path / f"{key}.npy", values[key])
    samples = read(Settings(path=str(tmp_path / name), targets=["u", "v"] if len(shape) > 3 else None))
    assert samples.masks.sources.shape == (3 * len(files), *shape[1:])
    assert samples.class_names == (("u", "v") if len(shape) > 3 else ())
    assert ("test" in samples.splits) == (len(files) > 2)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"masks": np.zeros((4, 8, 7), int)},
            ": masks: expected [4, 8, 8], a mask for each image, and perhaps an axis of targets, "
            "got [4, 8, 7].",
        ),
        (
            {"masks": np.zeros((4, 8, 8, 3), np.uint8)},
            "mask of 0: expected a mask: a PNG or TIFF file with one channel, or a .npy file, got an array "
            "of uint8 [8, 8, 3], with 3 values of a pixel. Replace each color by the number of its class, "
            "and save the numbers as PNG with one channel: numpy.unique(pixels.reshape(-1, 3), axis=0, "
            "return_inverse=True) lists and numbers the colors.",
        ),
    ],
)
def test_arrays_that_are_no_masks(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 8, 8), np.uint8), **arrays)
    with pytest.raises(DataError) as caught:
        read(Settings(path=str(tmp_path / "a.npz")))
    assert str(caught.value).removeprefix(str(tmp_path / "a.npz")) == message
