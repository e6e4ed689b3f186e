"""`dataset.fit: auto` keeps all of square images."""

from __future__ import annotations

import logging

import numpy as np
import pytest
from PIL import Image

from committee.images.dataset import open_dataset, preview_dataset
from committee.images.source import read
from committee.images.squares import with_fit
from committee.recipe.dataset import Dataset as Settings
from committee.store.layout import Store


def photos(folder, sizes):
    """Write images of the given sizes, in two classes."""
    for row, size in enumerate(sizes):
        (folder / "ab"[row % 2]).mkdir(parents=True, exist_ok=True)
        colors = np.random.default_rng(row).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(colors).save(folder / "ab"[row % 2] / f"{row:02}.png")
    return Settings(path=str(folder), img_size=8, num_workers=0)


@pytest.mark.parametrize(
    ("last", "fit", "said"),
    [
        ((9, 9), "squash", "All of 20 images are square: dataset.fit is squash"),
        ((9, 10), "crop", "dataset.fit is crop: b/19.png has 9 x 10 pixels"),
    ],
)
def test_square_images_are_kept_whole_and_the_store_keeps_the_fit(
    tmp_path, store: Store, caplog, last, fit, said
):
    caplog.set_level(logging.INFO)
    settings = photos(tmp_path / "photos", [(12, 12)] * 19 + [last])
    assert preview_dataset(settings, store, folds=0, seed=0).fit == fit
    assert open_dataset(settings, store, img_sizes=[8], folds=0, seed=0).fit == fit
    assert said in caplog.messages
    photos(tmp_path / "photos", [(12, 12)] * 19 + [last])
    for again in (settings, Settings(num_workers=0), Settings(fit="auto", num_workers=0)):
        assert open_dataset(again, store, img_sizes=[8], folds=0, seed=0).fit == fit
    assert preview_dataset(Settings(fit="pad"), store, folds=0, seed=0).fit == "pad"


def test_broken_images_decide_nothing(tmp_path):
    settings = photos(tmp_path, [(12, 12)] * 4)
    (tmp_path / "a" / "00.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert with_fit(settings, read(settings)).fit == "squash"


@pytest.mark.parametrize(("shape", "fit"), [((6, 8, 8), "squash"), ((6, 8, 9, 3), "crop")])
def test_arrays_have_one_size(tmp_path, shape, fit):
    np.savez(tmp_path / "images.npz", images=np.zeros(shape, np.uint8), labels=np.arange(6) % 2)
    settings = Settings(path=str(tmp_path / "images.npz"))
    assert with_fit(settings, read(settings)).fit == fit
