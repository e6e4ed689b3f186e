"""Broken images are listed, remembered and left out; too many of them are an error."""

from __future__ import annotations

import csv
import os

import numpy as np
import pytest
import torch

from committee.errors import CommitteeError
from committee.images import cache
from committee.images.dataset import open_dataset, preview_dataset
from committee.images.decode import decode, image_error
from committee.images.view import View

HINT = "Replace it or leave it out."


@pytest.fixture
def opened(store):
    def run(settings, *, size=8, more=(), folds=2):
        return open_dataset(settings, store, img_sizes=[size, *more], folds=folds, seed=1)

    return run


@pytest.fixture
def root(make_folder):
    """Twenty-four scans in two classes, three of them broken."""
    root = make_folder("root", {"cat": 12, "dog": 12})
    good = (root / "cat" / "0.png").read_bytes()
    (root / "cat" / "0.png").write_bytes(b"")
    (root / "cat" / "5.png").write_bytes(good[:60])
    (root / "dog" / "11.png").write_bytes(b"GIF89a")
    return root


BROKEN = {
    "cat/0.png": "an empty file",
    "cat/5.png": "a damaged file: image file is truncated",
    "dog/11.png": "a GIF image",
}
SENTENCE = "broken images: expected at most 1.00% of 24, got 3: " + ", ".join(
    f"'{name}' ({reason})" for name, reason in BROKEN.items()
)


def table(store, name: str) -> list[list[str]]:
    with (store.root / name).open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def said(opened, settings, **keys) -> str:
    with pytest.raises(CommitteeError) as caught:
        opened(settings, **keys)
    return str(caught.value)


def test_too_many_stop_the_run_with_the_list(root, settings, opened, store):
    path = store.root / "quarantine.csv"
    assert said(opened, settings(root)) == (
        f"{SENTENCE}. All are listed in {path.as_posix()}: replace or remove them, "
        "or raise dataset.max_broken."
    )
    assert table(store, "quarantine.csv") == [["id", "reason"], *map(list, BROKEN.items())]
    assert not store.dataset_folder().exists()


def test_the_limit_may_be_raised_and_nothing_is_decoded_again(root, settings, opened, decoded, caplog):
    said(opened, settings(root))
    assert len(decoded) == 24
    data = opened(settings(root, max_broken=0.13))
    assert len(decoded) == 24
    assert data.quarantined == BROKEN and len(data.labels) == 21
    assert not set(BROKEN) & set(data.sample_ids.tolist())
    assert (
        len(next(iter(data.canvases.values())))
        == len(data.sample_ids)
        == len(data.splits)
        == len(data.folds)
        == 21
    )
    [warning] = caplog.messages
    assert warning.startswith("3 of 24 images are broken and left out (")


def test_no_neighbor_takes_the_place_of_a_broken_one(root, settings, opened):
    opened(settings(root, max_broken=0.2), more=[20])
    data = opened(settings(root), more=[12, 20])
    for row, name in enumerate(data.sample_ids.tolist()):
        original = torch.from_numpy(decode(root / name))[None]
        for view in (View(8), View(12), View(20)):
            assert torch.equal(view.cut(data.images([row], view)), view.cut(original))


def test_they_are_remembered(root, settings, opened, decoded):
    first = opened(settings(root, max_broken=0.2))
    again = opened(settings(root))
    assert len(decoded) == 24 and again.quarantined == opened(None).quarantined == BROKEN
    assert first.fingerprint == again.fingerprint
    larger = opened(settings(root), size=10)
    assert len(decoded) == 24 + 21 and list(larger.canvases) == [(12, "crop", 3)]
    assert np.array_equal(larger.sample_ids, first.sample_ids)


def test_taken_away_they_do_not_matter_and_repaired_they_are_refused(root, settings, opened, store):
    first = opened(settings(root, max_broken=0.2))
    (root / "cat" / "0.png").unlink()
    again = opened(settings(root), size=9)
    assert again.fingerprint == first.fingerprint and again.quarantined == BROKEN
    (root / "cat" / "5.png").write_bytes((root / "cat" / "1.png").read_bytes())
    assert said(opened, settings(root)) == (
        f"{store.root.as_posix()}: expected the images of root that were left out as broken to be unchanged, "
        "got repaired ones: 'cat/5.png'. "
        "Use another --store to train with them, or remove them to continue without them."
    )
    (root / "cat" / "5.png").unlink()
    assert opened(settings(root)).fingerprint == first.fingerprint
    # Without results, the preview is that of a new store, which finds the third broken image when it decodes.
    assert len(preview_dataset(settings(root), store, folds=2, seed=1).labels) == 22


def test_replaced_before_the_data_set_is_frozen_they_are_read(root, settings, opened, store):
    said(opened, settings(root))
    good = (root / "cat" / "1.png").read_bytes()
    for name in BROKEN:
        (root / name).write_bytes(good + name.encode())  # bytes after the end of a PNG are ignored
    data = opened(settings(root))
    assert len(data.labels) == 24 and data.quarantined == {}
    assert not (store.root / "quarantine.csv").exists()
    assert len(list((store.root / "cache").iterdir())) == 1, "what was decoded before is gone"


@pytest.mark.parametrize(("limit", "stops"), [(0.01, False), (0.0, True)])
def test_one_stops_a_run_only_where_none_may_be_broken(make_folder, settings, opened, limit, stops):
    root = make_folder("root", {"cat": 9, "dog": 9})
    (root / "dog" / "3.png").write_bytes(b"nothing")
    if stops:
        assert said(opened, settings(root, max_broken=limit)).startswith(
            "broken images: expected at most 0.00% of 18, got 1: 'dog/3.png' (something else). "
        )
    else:
        assert opened(settings(root, max_broken=limit)).quarantined == {"dog/3.png": "something else"}


def test_all_broken(make_folder, settings, opened):
    root = make_folder("root", {"cat": 2, "dog": 2})
    for path in root.rglob("*.png"):
        path.write_bytes(b"")
    sentence = said(opened, settings(root))
    assert sentence.startswith("broken images: expected at most 1.00% of 4, got 4: 'cat/0.png' (an empty")


def test_a_class_that_loses_all_its_images(make_folder, settings, opened):
    root = make_folder("root", {"cat": 9, "dog": 1})
    (root / "dog" / "0.png").write_bytes(b"")
    assert said(opened, settings(root)) == (
        "training rows: expected rows of every class, got none of 'dog'. "
        "Add some, or remove the class from the val and test splits."
    )


def test_an_image_that_is_broken_later_stops_the_run(make_folder, settings, opened, monkeypatch, store):
    root = make_folder("root", {"cat": 9, "dog": 9})
    opened(settings(root))

    def tired(*args, **keys):
        raise image_error("x", "no memory")

    monkeypatch.setattr(cache, "decode", tired)
    assert said(opened, settings(root), size=10).startswith(
        "18 of 18 images: expected images that can be decoded as before, "
        "got errors for 'cat/0.png', 'cat/1.png'"
    )
    assert len(list((store.root / "cache").iterdir())) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize("workers", [0, 1])
def test_what_is_no_file_is_named_and_a_pipe_is_not_opened(make_folder, settings, opened, workers):
    root = make_folder("root", {"cat": 9, "dog": 9})
    (root / "cat" / "gone.png").symlink_to(root / "nowhere.png")
    os.mkfifo(root / "dog" / "pipe.jpg")
    data = opened(settings(root, max_broken=0.2, num_workers=workers))
    assert data.quarantined == {"cat/gone.png": "not a file", "dog/pipe.jpg": "not a file"}


def test_the_file_of_a_row_may_vanish_between_the_looks(make_folder, settings, opened, monkeypatch):
    """An unreadable file has no hash, and is left out like other broken images."""
    root = make_folder("root", {"cat": 9, "dog": 9})
    gone = root / "dog" / "3.png"
    real = cache.hash_images

    def late(images, workers):
        gone.unlink()
        return real(images, workers)

    monkeypatch.setattr("committee.images.decoded.hash_images", late)
    assert opened(settings(root)).quarantined == {"dog/3.png": "the file does not exist"}
