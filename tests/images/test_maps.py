"""Data sets of maps: decoded masks, their classes, splits, the sample of pixels, and what cannot be used."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from committee.images.dataset import Dataset, open_dataset, preview_dataset
from committee.recipe.dataset import Dataset as Settings

COUNT = 24


def image(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 255, (10 + number % 3, 12, 3), dtype=np.uint8)


def class_map(number: int) -> np.ndarray:
    """Return a map of background and 1; some have class 2 as well."""
    found = np.zeros(image(number).shape[:2], np.uint8)
    found[:5, : 4 + number % 5] = 1
    found[-1, : number % 2] = 2
    return found


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, pixels) if path.suffix == ".npy" else Image.fromarray(pixels).save(path)


def write(
    root: Path, mask: Callable[[int], np.ndarray] = class_map, suffix: str = ".png", count: int = COUNT
) -> Path:
    for number in range(count):
        save(root / f"images/{number:02}.png", image(number))
        save(root / f"masks/{number:02}{suffix}", mask(number))
    return root


@pytest.fixture
def opened(tmp_path, store):
    """Open the data set in a folder, or another path, with keys of the recipe."""

    def open_it(path: Path | None = None, workers: int = 0, **keys: object) -> Dataset:
        settings = Settings(path=str(path or tmp_path), num_workers=workers, **keys)
        return open_dataset(settings, store, img_sizes=[8], folds=3, seed=0)

    return open_it


def test_images_and_maps_keep_their_sizes(tmp_path, opened, store):
    dataset = opened(write(tmp_path), workers=2)
    assert dataset.target_type.dense and dataset.task.key == "segmentation" and dataset.fit == "native"
    assert dataset.class_names == ("0", "1", "2") and dataset.maps is not None
    for number in range(COUNT):
        assert np.array_equal(dataset.maps.image(number), image(number))
        assert np.array_equal(dataset.maps.map(number), class_map(number))
    again = open_dataset(None, store, img_sizes=[8], folds=3, seed=1)
    copied = pickle.loads(pickle.dumps(again))
    assert copied.fingerprint == dataset.fingerprint
    assert np.array_equal(copied.maps.map(7), class_map(7)) and np.array_equal(
        copied.table.ids, dataset.table.ids
    )


def test_splits_are_stratified_by_the_rarest_class(tmp_path, opened):
    dataset = opened(write(tmp_path))
    assert np.array_equal(dataset.labels, [1 + number % 2 for number in range(COUNT)])
    assert np.bincount(dataset.labels[dataset.rows("test")]).tolist() == [0, 2, 2]
    for fold in range(3):
        assert abs(np.diff(np.bincount(dataset.labels[dataset.folds == fold])[1:])) <= 1


def test_pixels_are_a_stratified_sample(tmp_path, opened):
    dataset = opened(write(tmp_path), pixels_per_image=20)
    points, table, maps = dataset.points, dataset.table, dataset.maps
    assert np.bincount(points.row).tolist() == [20] * COUNT
    for row in range(COUNT):
        places = dataset.positions([row])
        flat = maps.map(row).ravel()
        assert len({*points.pixel[places]}) == 20
        assert np.array_equal(flat[points.pixel[places]], points.labels[places])
        drawn, share = np.bincount(points.labels[places], minlength=3), np.bincount(flat, minlength=3)
        assert np.all(np.abs(drawn - 20 * share / len(flat)) <= 1) and np.all((drawn > 0) == (share > 0))
    rows = [3, 1]
    places = dataset.positions(rows)
    width = maps.sizes[3, 1]
    assert table.ids[places[0]] == "images/03.png@{},{}".format(*divmod(points.pixel[places[0]], width))
    assert table.groups[places].tolist() == [3] * 20 + [1] * 20
    assert np.array_equal(table.folds[places], np.repeat(dataset.folds[rows], 20))
    assert np.array_equal(table.labels[places], points.labels[places])


def test_a_preview_decodes_no_image(tmp_path, store):
    root = write(tmp_path)
    for path in (root / "images").iterdir():
        path.write_bytes(path.read_bytes()[:60])
    preview = preview_dataset(Settings(path=str(root)), store, folds=3, seed=0)
    assert (
        preview.class_names == ("0", "1", "2") and len(preview.rows("test")) == 5 and not store.root.exists()
    )


def test_numbers_of_pixels(tmp_path, opened):
    def depth(number: int) -> np.ndarray:
        found = class_map(number) + np.float32(number / 2)
        found[0, :2] = np.nan, -1
        return found

    dataset = opened(write(tmp_path, depth, ".tif"), ignore=-1, targets=["depth"], units={"depth": "m"})
    assert (
        dataset.task.key == "dense_regression"
        and dataset.class_names == ("depth",)
        and dataset.units == ("m",)
    )
    for row in range(COUNT):
        expected = depth(row)
        expected[0, 1] = np.nan
        assert np.array_equal(dataset.maps.map(row)[..., 0], expected, equal_nan=True)
        assert (dataset.points.row == row).sum() == expected.size - 2
    assert np.isfinite(dataset.table.labels).all() and dataset.table.labels.shape[1] == 1
    assert np.corrcoef(dataset.labels, np.arange(COUNT))[0, 1] > 0.8
