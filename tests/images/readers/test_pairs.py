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
    fill(tmp_path, "masks/a.png")
    (tmp_path / "images").mkdir()
    with pytest.raises(DataError) as caught:
        read(Settings(path=str(tmp_path)))
    assert str(caught.value) == f"{tmp_path / 'images'}: expected JPEG, PNG or WebP images, got none."
