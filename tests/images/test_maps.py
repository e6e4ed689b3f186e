"""Data sets of maps: decoded masks, their classes, splits, the sample of pixels, and what cannot be used."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from committee.errors import CommitteeError, DataError, RecipeError, StoreError, UsageError
from committee.images.dataset import Dataset, open_dataset, preview_dataset
from committee.images.points import sample_points
from committee.images.unlabeled import open_unlabeled
from committee.recipe.dataset import Dataset as Settings
from committee.recipe.load import load_recipe

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


def test_a_preview_finds_classes_that_are_wrong(tmp_path, store, monkeypatch):
    root = write(tmp_path)
    monkeypatch.setattr("committee.images.strata.PREVIEWED", 5)
    (root / "masks/00.png").write_text("broken")
    preview = preview_dataset(Settings(path=str(root), ignore=2), store, folds=0, seed=0)
    assert preview.class_names == ("0", "1")
    save(root / "masks/03.png", class_map(3).astype(np.uint16) * 300)
    with pytest.raises(DataError, match="5 values up to 600"):
        preview_dataset(Settings(path=str(root)), store, folds=0, seed=0)
    (root / "classes.txt").write_text("a\nb\n")
    assert preview_dataset(Settings(path=str(root)), store, folds=0, seed=0).class_names == ("a", "b")


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


def put(name: str, pixels: np.ndarray) -> Callable[[Path], object]:
    return lambda root: save(root / name, pixels)


def floats(number: int) -> np.ndarray:
    return class_map(number).astype(np.float32)


@pytest.mark.parametrize(
    ("change", "mask", "suffix", "reason"),
    [
        (
            put("masks/03.png", np.zeros((9, 8), np.uint8)),
            class_map,
            ".png",
            "its mask is 8 x 9 pixels large, and the image 12 x 10",
        ),
        (
            put("images/03.png", np.zeros((10, 5, 3), np.uint8)),
            lambda number: class_map(number)[:, : 5 if number == 3 else None],
            ".png",
            "an image of 5 x 10 pixels, smaller than 8 x 8",
        ),
        (
            lambda root: (root / "masks/03.png").write_text("hello"),
            class_map,
            ".png",
            "its mask is neither PNG nor TIFF",
        ),
        (
            put("masks/03.npy", np.full((10, 12), np.inf)),
            floats,
            ".npy",
            "its mask is one with infinite numbers",
        ),
        (
            put("masks/03.npy", np.full((10, 12), 1e35)),
            floats,
            ".npy",
            "its mask is one with numbers larger than 1e+30",
        ),
    ],
)
def test_one_bad_pair_is_left_out(tmp_path, opened, change, mask, suffix, reason, caplog):
    change(write(tmp_path, mask, suffix))
    dataset = opened()
    assert dataset.quarantined == {"images/03.png": reason} and len(dataset.sample_ids) == COUNT - 1
    assert np.array_equal(dataset.maps.image(3), image(4)) and dataset.points.row.max() == COUNT - 2
    assert f"'images/03.png' ({reason})" in caplog.text


RANGE = (
    "masks: expected the number of a class in each pixel, from 0 to 255, got 3 values up to 400, as numbers "
)
ADVICE = (
    "Correct the masks, add the values to dataset.class_names, or set dataset.ignore to the one value that "
    "marks pixels without a label."
)


@pytest.mark.parametrize(
    ("mask", "suffix", "keys", "message"),
    [
        (
            class_map,
            ".png",
            {"class_names": ["a", "b"]},
            "masks of 'images/01.png', 'images/03.png', 'images/05.png', 'images/07.png', 'images/09.png' "
            f"and 7 more: expected the values of classes: 0, 1, got 2. {ADVICE}",
        ),
        (
            lambda number: class_map(number).astype(int) - 3 * (number == 2),
            ".npy",
            {},
            f"masks of 'images/02.png': expected the values of classes: 0, 1, 2, got -3, -2. {ADVICE}",
        ),
        (
            lambda number: class_map(number).astype(np.uint16) * 200,
            ".png",
            {},
            f"{RANGE}of objects have. Write classes in place of objects (mask > 0 for one kind of objects), "
            "or name the class of each value with dataset.class_names.",
        ),
        (
            lambda number: class_map(number) * 100,
            ".png",
            {},
            "masks: expected the number of a class in each pixel: 0, 1, 2, ..., got 0, 100, 200. Name the "
            "class of each value: dataset.class_names={0: NAME, 100: NAME, 200: NAME}.",
        ),
        (
            lambda number: class_map(number) * 0,
            ".png",
            {},
            "masks: expected pixels of at least 2 classes, got '0'. There is nothing to predict: correct the "
            "masks, or dataset.ignore.",
        ),
        (
            lambda number: class_map(number) * 0 + 255,
            ".png",
            {},
            "masks: expected pixels of at least 2 classes, got no pixel with a label. There is nothing to "
            "predict: correct the masks, or dataset.ignore.",
        ),
        (
            lambda number: class_map(number) * 0,
            ".png",
            {"ignore": 0},
            "masks: expected pixels of at least 2 classes, got no pixel with a label. There is nothing to "
            "predict: correct the masks, or dataset.ignore.",
        ),
        (
            lambda number: floats(number) * np.nan,
            ".npy",
            {},
            "masks: expected pixels with a label, got none: all are NaN or ignored. Correct the masks, or "
            "dataset.ignore.",
        ),
        (
            lambda number: floats(number) * 0 + 2,
            ".tif",
            {},
            "masks: 'value': expected numbers that differ, got the same number in all pixels. There is "
            "nothing to predict: leave it out.",
        ),
        (
            floats,
            ".tif",
            {"task": "segmentation"},
            "masks: expected whole numbers for the task segmentation: the class of each pixel, got "
            "floating-point numbers. Save them with a type of whole numbers, such as uint8, or set "
            "dataset.task=dense_regression.",
        ),
        (
            class_map,
            ".png",
            {"task": "classification"},
            "dataset.task: expected segmentation or dense_regression, since there is a mask for each image, "
            "got classification. Set dataset.task=auto, or give labels of images in place of masks.",
        ),
        (
            class_map,
            ".png",
            {"fit": "crop"},
            "dataset.fit: expected native or auto, since images with masks keep their size, got crop. Remove "
            "it; dataset.img_size is the size of the crops for training.",
        ),
        (
            class_map,
            ".png",
            {"targets": ["depth"]},
            "dataset.targets: expected no targets for the task segmentation, got 'depth'. Remove "
            "dataset.targets, or set dataset.task=dense_regression.",
        ),
        (
            floats,
            ".tif",
            {"class_names": ["a", "b"]},
            "dataset.class_names: expected no classes for the task dense_regression, got 'a', 'b'. Remove "
            "it, or name the numbers with dataset.targets.",
        ),
        (
            floats,
            ".tif",
            {"targets": ["a", "b"]},
            "dataset.targets: expected 1 name, one for each number of a pixel, got 'a', 'b'.",
        ),
        (
            class_map,
            ".png",
            {"units": {"x": "m"}},
            "dataset.units: expected names of targets: there are none, got 'x'.",
        ),
    ],
)
def test_masks_that_cannot_be_used(tmp_path, opened, mask, suffix, keys, message):
    write(tmp_path, mask, suffix)
    with pytest.raises(CommitteeError) as caught:
        opened(**keys)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "key", [{"task": "segmentation"}, {"ignore": 3.0}, {"class_names": ["a", "b"]}, {"fit": "native"}]
)
def test_settings_of_masks_need_masks(opened, tmp_path, key):
    np.savez(tmp_path / "d.npz", images=np.zeros((4, 8, 8), np.uint8), labels=[0, 1, 0, 1])
    name, value = next(iter(key.items()))
    with pytest.raises(UsageError) as caught:
        opened(tmp_path / "d.npz", **key)
    assert str(caught.value) == (
        f"dataset.{name}: expected a mask for each image, for {value}, got labels of images. Remove it, or "
        "give folders images/ and masks/, a table with columns path and mask and without label, or arrays "
        "images and masks."
    )


def test_masks_of_several_kinds(tmp_path, opened):
    put("masks/03.npy", class_map(3))(write(tmp_path, floats, ".tif"))
    (tmp_path / "masks/03.tif").unlink()
    with pytest.raises(DataError) as caught:
        opened()
    assert str(caught.value) == (
        "masks: expected the same kind of values in all masks, got floating-point numbers in "
        f"{tmp_path.as_posix()}/masks/00.tif, whole numbers in {tmp_path.as_posix()}/masks/03.npy. "
        "Save all masks alike."
    )


@pytest.mark.parametrize(
    ("mask", "keys", "file", "names", "said"),
    [
        (class_map, {"class_names": {0: "a", 1: "b", 2: "b"}}, None, ("a", "b"), ""),
        (class_map, {"class_names": ["a", "b"], "ignore": 2}, None, ("a", "b"), ""),
        (
            class_map,
            {},
            ("classes.txt", "sky\n\nroad\ncar"),
            ("sky", "road", "car"),
            "classes.txt names 3 classes",
        ),
        (
            class_map,
            {},
            ("masks/classes.json", '{"0": "a", "1": "b", "2": "b"}'),
            ("a", "b"),
            "names 2 classes",
        ),
        (
            class_map,
            {"class_names": list("abcd")},
            None,
            tuple("abcd"),
            "1 class has no pixel: 'd'. Leave out of",
        ),
        (class_map, {"n_classes": 5}, None, ("0", "1", "2"), "dataset.n_classes: expected 5 classes, got 3"),
        (
            lambda number: np.where(class_map(number) == 2, 255, class_map(number)).astype(np.uint8),
            {},
            None,
            ("0", "1"),
            "pixels with the value 255 have no label (dataset.ignore)",
        ),
        (
            lambda number: (255 * (class_map(number) > 0)).astype(np.uint8),
            {},
            None,
            ("0", "255"),
            "masks have the values 0 and 255, which are the two classes",
        ),
    ],
)
def test_classes_of_values(tmp_path, opened, mask, keys, file, names, said, caplog):
    caplog.set_level("INFO")
    write(tmp_path, mask)
    if file is not None:
        (tmp_path / file[0]).write_text(file[1], encoding="utf-8")
    dataset = opened(**keys)
    assert dataset.class_names == names and said in caplog.text
    assert set(np.unique(dataset.maps.values)) <= {*range(len(names)), -1}
    ignored = "ignore" in keys or "255 have" in said
    values = class_map(3).astype(int)
    expected = np.where(values == 2, -1, values) if ignored else np.minimum(values, len(names) - 1)
    assert np.array_equal(dataset.maps.map(3), expected) and (-1 in dataset.maps.values) == ignored


def test_a_file_without_names_of_classes(tmp_path, opened):
    (write(tmp_path) / "classes.json").write_text("[1", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        opened()
    assert str(caught.value) == (
        f"{(tmp_path / 'classes.json').as_posix()}: expected different names of at least 2 classes: a list, "
        "or an object of values and names, got something else. Correct the file, or set dataset.class_names."
    )


def test_a_mask_without_labels_is_in_no_split(tmp_path, opened, caplog):
    put("masks/03.png", np.full((10, 12), 255, np.uint8))(write(tmp_path))
    dataset = opened()
    assert dataset.splits[3] == "dropped" and dataset.labels[3] == -1 and not len(dataset.positions([3]))
    assert "left out 1 mask without a labeled pixel: 'images/03.png'" in caplog.text


def test_a_store_keeps_its_masks_and_its_sample(tmp_path, opened):
    root = write(tmp_path / "d")
    opened(root)
    for keys, what in (
        ({"pixels_per_image": 7}, "pixels_per_image"),
        ({"class_names": list("abc")}, "content or"),
    ):
        with pytest.raises(StoreError, match=what):
            opened(root, **keys)
    save(root / "masks/03.png", class_map(3) * 0)
    with pytest.raises(StoreError, match="24 images with other content or labels"):
        opened(root)


def test_the_cache_is_made_again(tmp_path, opened, store):
    before = opened(write(tmp_path / "d"), pixels_per_image=9)
    ids = before.table.ids
    for folder in (store.root / "cache").iterdir():
        shutil.rmtree(folder)
    assert np.array_equal(opened(tmp_path / "d", pixels_per_image=9).table.ids, ids)


def test_groups_stay_together_and_copies_are_found(tmp_path, opened, caplog):
    write(tmp_path)
    lines = [
        "path,mask,group",
        *(f"images/{row:02}.png,masks/{row:02}.png,g{row // 4}" for row in range(COUNT)),
    ]
    (tmp_path / "d.csv").write_text("\n".join(lines), encoding="utf-8")
    save(tmp_path / "images/03.png", image(30))
    save(tmp_path / "images/09.png", image(30))
    save(tmp_path / "masks/09.png", class_map(3) // 2)
    dataset = opened(tmp_path / "d.csv")
    assert dataset.groups[3] == dataset.groups[9] and len(np.unique(dataset.groups)) == COUNT // 4 - 1
    for group in np.unique(dataset.groups):
        rows = dataset.groups == group
        assert len({*zip(dataset.splits[rows], dataset.folds[rows], strict=True)}) == 1
    assert "1 image has a copy with another label: 'images/09.png' (mask" in caplog.text


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            "class_names=[a, a]",
            "class_names: expected different names of at least 2 classes, got a list of 2.",
        ),
        ("class_names={0: a, 70000: b}", "class_names: expected values from 0 to 65534, got a mapping."),
        ("class_names=[a]", "class_names: expected different names of at least 2 classes, got a list of 1."),
        ("pixels_per_image=0", "pixels_per_image: expected a number not less than 1, got 0."),
    ],
)
def test_keys_of_masks_in_a_recipe(given, expected):
    with pytest.raises(RecipeError) as caught:
        load_recipe(None, [f"dataset.{given}"])
    assert str(caught.value) == f"dataset.{expected} (--set dataset.{given})"


def test_a_value_is_a_class_or_ignored():
    with pytest.raises(
        RecipeError, match=r"ignore: expected a value that is no class, got 1\. Remove 1 from class"
    ):
        load_recipe(None, ["dataset.class_names={0: a, 1: b}", "dataset.ignore=1"])


def test_images_without_masks_are_not_decoded_with_maps(tmp_path, opened, store):
    dataset = opened(write(tmp_path))
    with pytest.raises(UsageError) as caught:
        open_unlabeled(tmp_path / "images", dataset, store, [], workers=0, who="distillation.unlabeled")
    assert str(caught.value) == (
        f"distillation.unlabeled: expected a data set of labels of images, got one with masks, "
        f"{tmp_path.name}, for which only images with masks are decoded. Remove it."
    )


def test_disk_room_is_required_before_images_are_decoded(tmp_path, opened, monkeypatch):
    monkeypatch.setattr("committee.store.disk.free_bytes", lambda path: 1000)
    with pytest.raises(StoreError, match="disk space, got 1000 bytes"):
        opened(write(tmp_path))


def test_pixels_are_few_where_images_are_many(tmp_path, opened):
    dataset = opened(write(tmp_path))
    counts = np.array([np.bincount(class_map(row).ravel(), minlength=3) for row in range(COUNT)])
    few = sample_points(dataset.maps, dataset.sample_ids, counts, pixels=50, most=2 * COUNT)
    present = (counts > 0).sum(axis=1)
    assert np.array_equal(np.bincount(few.row), np.maximum(2, present))
