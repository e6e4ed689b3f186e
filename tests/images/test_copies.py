"""Duplicate images are in one fold and split, counted and listed."""

from __future__ import annotations

import csv
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as settings_of
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from committee.errors import CommitteeError
from committee.images.copies import first_occurrences, merge
from committee.images.dataset import open_dataset


@pytest.fixture
def opened(store):
    def run(settings, *, folds=3, seed=1):
        return open_dataset(settings, store, img_sizes=[8], folds=folds, seed=seed)

    return run


def said(opened, settings, **keys) -> str:
    with pytest.raises(CommitteeError) as caught:
        opened(settings, **keys)
    return str(caught.value)


def resave(source, target) -> None:
    """Write the same pixels to another file, with another compression and other metadata."""
    notes = PngInfo()
    notes.add_text("comment", "edited")
    with Image.open(source) as image:
        image.save(target, format="PNG", compress_level=1, pnginfo=notes)
    assert source.read_bytes() != target.read_bytes()


@pytest.mark.parametrize("seed", range(4))
def test_copies_stay_together_and_are_counted(make_folder, settings, opened, store, caplog, seed):
    caplog.set_level("INFO")
    root = make_folder("root", {"cat": 30, "dog": 30})
    for number in range(5):
        resave(root / "cat" / f"{number}.png", root / "cat" / f"z{number}.png")
    shutil.copy(root / "dog" / "0.png", root / "dog" / "also.webp")  # a PNG under another name
    data = opened(settings(root), seed=seed)
    assert data.copies == {f"cat/z{number}.png": f"cat/{number}.png" for number in range(5)} | {
        "dog/also.webp": "dog/0.png"
    }
    place = {name: row for row, name in enumerate(data.sample_ids.tolist())}
    for copy, original in data.copies.items():
        for of in (data.splits, data.folds, data.groups):
            assert of[place[copy]] == of[place[original]]
    assert len(set(data.groups.tolist())) == 60
    path = store.root / "copies.csv"
    assert caplog.messages == [
        f"6 of 66 images are copies of another image and stay in the same fold ({path})"
    ]
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["id", "split", "label", "same_as", "split_of_same", "label_of_same"]
    assert rows[1] == ["cat/z0.png", "train", "cat", "cat/0.png", "train", "cat"] and len(rows) == 7
    counts = np.bincount(data.folds[data.rows("train")])
    assert counts.max() - counts.min() <= 4 and len(data.rows("test")) in range(10, 16)


def test_without_copies_nothing_is_grouped(make_folder, settings, opened, store):
    data = opened(settings(make_folder("root", {"cat": 9, "dog": 9})))
    assert data.groups is None and data.copies == {}
    assert not (store.root / "copies.csv").exists()


def test_copies_join_the_groups_that_are_given(make_table, settings, opened):
    table = make_table(["path", "label", "group"], lambda row: [f"images/{row}.png", row % 2, f"g{row // 2}"])
    for one, other in ((0, 5), (5, 9)):  # g0 = g2 = g4
        shutil.copy(table.parent / f"images/{one}.png", table.parent / f"images/{other}.png")
    data = opened(settings(table))
    together = {data.groups[row] for row in (0, 1, 4, 5, 8, 9)}
    assert len(together) == 1 and len(set(data.groups.tolist())) == 10
    assert len({(data.splits[row], data.folds[row]) for row in (0, 1, 4, 5, 8, 9)}) == 1


SPLIT = {"train/cat": 8, "train/dog": 8, "val/cat": 2, "val/dog": 2, "test/cat": 3, "test/dog": 3}


def crossing(make_folder):
    """Two training images in the test split, and one in the val split."""
    root = make_folder("root", SPLIT)
    resave(root / "train/cat/1.png", root / "test/cat/new.png")
    shutil.copy(root / "train/dog/2.png", root / "test/dog/1.png")
    shutil.copy(root / "train/dog/3.png", root / "val/dog/1.png")
    return root


def test_the_same_content_in_train_and_test_is_an_error(make_folder, settings, opened, store):
    path = store.root / "copies.csv"
    assert said(opened, settings(crossing(make_folder), val="apart")) == (
        "duplicate images: expected all copies in one split, "
        "got 'train/cat/1.png' (train) = 'test/cat/new.png' (test), "
        "'train/dog/2.png' (train) = 'test/dog/1.png' (test), "
        "'train/dog/3.png' (train) = 'val/dog/1.png' (val). "
        f"All are listed in {path.as_posix()}: remove them, or drop them from the training split with "
        "dataset.duplicates: drop."
    )
    assert len(path.read_text("utf-8").splitlines()) == 4
    assert not store.dataset_folder().exists()


@pytest.mark.parametrize(("val", "dropped"), [("apart", 3), ("join", 2)])
def test_an_option_drops_them_from_train(make_folder, settings, opened, caplog, val, dropped):
    caplog.set_level("INFO")
    data = opened(settings(crossing(make_folder), val=val, duplicates="drop"))
    gone = data.sample_ids[data.splits == "dropped"].tolist()
    assert gone == ["train/cat/1.png", "train/dog/2.png", "train/dog/3.png"][:dropped]
    assert len(data.rows("test")) == 7 and (data.folds[data.splits == "dropped"] == -1).all()
    assert len(data.rows("train")) == 16 - dropped + (4 if val == "join" else 0)
    assert caplog.messages[-1].endswith(f"; dropped from the training or val split: {dropped}")


def test_copies_of_another_class_are_named(make_folder, settings, opened, caplog):
    root = make_folder("root", {"cat": 9, "dog": 9})
    shutil.copy(root / "cat" / "4.png", root / "dog" / "4.png")
    opened(settings(root))
    assert caplog.messages == ["1 image has a copy with another label: 'dog/4.png' (dog) = 'cat/4.png' (cat)"]


def test_own_folds_that_part_copies(make_table, settings, opened):
    table = make_table(
        ["path", "label", "fold"], lambda row: [f"images/{row}.png", row % 2, f"f{row // 2 % 3}"]
    )
    shutil.copy(table.parent / "images/0.png", table.parent / "images/2.png")
    shutil.copy(table.parent / "images/1.png", table.parent / "images/7.png")
    assert said(opened, settings(table, test_size=0.01)) == (
        "fold column: expected all copies of an image in one fold, "
        "got 'images/2.png' (fold 1) = 'images/0.png' (fold 0). "
        "Correct the column, leave it out, or remove the copies."
    )


def test_a_class_of_one_picture(make_folder, settings, opened):
    root = make_folder("root", {"cat": 9, "dog": 1})
    for number in range(8):
        resave(root / "dog" / "0.png", root / "dog" / f"copy{number}.png")
    assert said(opened, settings(root)) == (
        "groups: expected at least 2 groups in every class, so that one can be held out, "
        "got 1 in 'dog' (copies of an image are one group). "
        "Add samples, provide splits and folds, or leave the class out."
    )


@given(st.lists(st.integers(0, 6), min_size=1, max_size=20), st.lists(st.integers(0, 9), min_size=20))
@settings_of(max_examples=40)
def test_merged_groups_are_the_finest_that_keep_both(contents, given_groups):
    prints = np.array([[content * 7, content] for content in contents], dtype=np.uint64)
    first = first_occurrences(prints)
    assert first.tolist() == [contents.index(content) for content in contents]
    groups = np.unique(given_groups[: len(contents)], return_inverse=True)[1]
    merged = merge(groups, first)
    expected = list(range(len(contents)))
    for _ in contents:  # slow and simple: propagate the smallest number of each group
        for row in range(len(contents)):
            with_row = (np.array(contents) == contents[row]) | (groups == groups[row])
            lowest = min(np.array(expected)[with_row])
            expected = [lowest if near else number for near, number in zip(with_row, expected, strict=True)]
    assert np.array_equal(np.equal.outer(merged, merged), np.equal.outer(expected, expected))
    if len(set(contents)) == len(contents):
        assert merge(None, first) is None
    else:
        alone = merge(None, first)
        assert np.array_equal(np.equal.outer(alone, alone), np.equal.outer(contents, contents))
