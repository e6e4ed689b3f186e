"""Crops of images with their maps: both show the same pixels, whatever the augmentation."""

import numpy as np
import pytest
import torch

from committee.images.joint import centers, crop_pairs
from committee.images.maps import IGNORED, Maps
from committee.images.view import View
from committee.recipe.augment import Amounts

SIZES = np.array([[40, 56], [24, 70], [20, 18]])
KEYS = np.arange(1, 4, dtype=np.uint64)
ROWS = np.arange(3)


def maps_of(sizes=SIZES, seed=0):
    """Return maps of large blocks of classes, and images whose gray value is 40 times the class."""
    generator = np.random.default_rng(seed)
    blocks = [generator.integers(0, 5, (-(-h // 8), -(-w // 8))) for h, w in sizes]
    classes = [np.kron(b, np.ones((8, 8), int))[:h, :w] for b, (h, w) in zip(blocks, sizes, strict=True)]
    flat = np.concatenate([each.ravel() for each in classes])
    return Maps((40 * flat).astype(np.uint8), flat.astype(np.int16), sizes, 1, 0)


def pairs(amounts=None, size=32, keys=KEYS, seed=0, **rest):
    view = View(size, mean=0.0, std=1 / 255, fit="native", channels=1)
    return crop_pairs(maps_of(), ROWS[: len(keys)], keys, view, amounts or Amounts(), seed, **rest)


@pytest.mark.parametrize(
    "amounts", [Amounts(), Amounts(flip=True), Amounts(turn=True), Amounts(flip=True, turn=True)]
)
def test_pixels_and_labels_move_together(amounts):
    found = [pairs(amounts, seed=seed) for seed in range(8)]
    for each in found:
        known = each.maps != IGNORED
        assert each.images.shape == (3, 1, 32, 32) and each.maps.shape == (3, 32, 32)
        assert torch.equal(each.images[:, 0][known], 40.0 * each.maps[known])
        assert known[0].all() and (~known[1:]).flatten(1).sum(1).tolist() == [8 * 32, 32 * 32 - 20 * 18]
    assert len({each.maps.numpy().tobytes() for each in found}) == 8


@pytest.mark.parametrize("amounts", [Amounts(random_resized_crop=0.3), Amounts(randaugment=9)])
def test_resampled_labels_are_those_of_the_nearest_pixel(amounts):
    if amounts.randaugment:  # its color operations would change the gray values
        amounts = Amounts(random_resized_crop=0.5)
    found = pairs(amounts, seed=3)
    known = found.maps[0] != IGNORED
    close = (found.images[0, 0] - 40 * found.maps[0]).abs()[known] < 21
    assert close.float().mean() > 0.85  # the others are at the borders of blocks


def test_draws_do_not_depend_on_the_batch():
    whole, alone = pairs(Amounts(flip=True, turn=True)), pairs(Amounts(flip=True, turn=True), keys=KEYS[:1])
    assert torch.equal(whole.maps[:1], alone.maps) and torch.equal(whole.images[:1], alone.images)


def test_a_wanted_pixel_is_in_the_crop():
    view = View(16, mean=0.0, std=1 / 255, fit="native", channels=1)
    maps = maps_of()
    marked = np.zeros(40 * 56, np.int16)
    marked[37 * 56 + 3] = 4
    values = np.array(maps.values)
    values[: 40 * 56] = marked
    maps = Maps(maps.pixels, values, SIZES, 1, 0)
    for seed in range(20):
        found = crop_pairs(maps, ROWS[:1], KEYS[:1], view, Amounts(), seed, lambda row, draws: (37, 3))
        assert (found.maps == 4).sum() == 1


def test_numbers_without_a_label_stay_nan():
    values = np.linspace(0, 1, int(SIZES.prod(1).sum()) * 2, dtype=np.float32)
    maps = Maps(np.zeros(int(SIZES.prod(1).sum()), np.uint8), values, SIZES, 1, 2)
    view = View(32, mean=0.0, std=1.0, fit="native", channels=1)
    found = crop_pairs(maps, ROWS, KEYS, view, Amounts(flip=True), 0).maps
    assert found.shape == (3, 2, 32, 32) and found.dtype == torch.float32
    assert found[0].isfinite().all() and found[2].isnan().flatten(1).sum(1).tolist() == [664, 664]


def test_centers_are_squares_of_the_wanted_size():
    found = centers(maps_of(), ROWS, 16)
    assert found.shape == (3, 1, 16, 16) and found.dtype == torch.uint8
    assert np.array_equal(found[0, 0].numpy(), maps_of().image(0)[12:28, 20:36, 0])
