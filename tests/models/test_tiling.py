"""Overlapping tiles: weights that sum to one, exact results where the network allows them, any size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from committee.errors import DataError, UsageError
from committee.models.tiling import strips, tiled
from committee.predictions.target_types import CLASS_MAPS, NUMBER_MAPS
from committee.tasks.base import task_for

SIZES = [(1, 1), (7, 90), (64, 64), (65, 64), (33, 150), (200, 131)]
IMAGE = np.random.default_rng(0).integers(0, 256, (3, 90, 131), dtype=np.uint8)


def logits(images: Tensor) -> Tensor:
    """Two classes that depend on the pixel alone, as logits that are not normalized."""
    red, green, _ = images.float().unbind(1)
    return torch.stack([red / 10, green / 20 - 3], 1)


@pytest.mark.parametrize("size", [(1, 1), (7, 45), (16, 16), (17, 16), (9, 40), (50, 33)])
@pytest.mark.parametrize("overlap", [0, 0.25, 0.9])
def test_weights_of_tiles_are_positive_and_sum_to_one(size: tuple[int, int], overlap: float) -> None:
    tile, count = 16, len(strips(size[0], 16, overlap)) * len(strips(size[1], 16, overlap))
    calls = iter(range(count))

    def one_hot(images: Any) -> Any:
        found = np.zeros((1, count, *images.shape[2:]), np.float32)
        found[:, next(calls)] = 1
        return found

    weights = tiled(one_hot, np.zeros((1, *size), np.uint8), tile=tile, overlap=overlap)
    assert next(calls, None) is None
    np.testing.assert_allclose(weights.sum(0), 1, atol=1e-6)
    assert ((weights > 0).any(axis=(1, 2))).all() and weights.min() >= 0


def test_weights_are_those_of_a_gaussian_with_an_eighth_of_the_side() -> None:
    first, second = strips(48, 32, 0.5)
    x = np.arange(32) - 15.5
    bell = np.exp(-(x**2) / (2 * 4**2))
    np.testing.assert_allclose(first.own[16:], bell[16:] / (bell[16:] + bell[:16]))
    np.testing.assert_allclose(second.own[:16] + first.own[16:], 1)


@pytest.mark.parametrize(("length", "tile", "overlap"), [(4096, 512, 0.25), (513, 512, 0.25), (1000, 7, 0.9)])
def test_strips_reach_both_ends_and_overlap_enough(length: int, tile: int, overlap: float) -> None:
    starts = np.array([strip.start for strip in strips(length, tile, overlap)])
    assert starts[0] == 0 and starts[-1] == length - tile
    assert np.diff(starts).max() <= np.ceil(tile * (1 - overlap))


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("task", [CLASS_MAPS, NUMBER_MAPS])
def test_a_pointwise_network_gives_exactly_the_same_as_a_whole_image(task: Any, batch: int) -> None:
    image, seen = torch.from_numpy(IMAGE), []

    def run(images: Tensor) -> Tensor:
        seen.append(len(images))
        return logits(images)

    found = tiled(run, image, tile=40, batch=batch, task=task_for(task))
    whole = tiled(logits, image, tile=1000, task=task_for(task))
    assert torch.equal(found, whole) and found.dtype == torch.float32
    torch.testing.assert_close(task_for(task).normalized(whole.movedim(0, -1)).movedim(-1, 0), whole)
    assert max(seen) == batch and sum(seen) == 3 * 5


def test_probabilities_are_averaged_and_not_logits() -> None:
    values = iter([torch.tensor([100.0, 0.0]), torch.tensor([0.0, 0.0])])

    def run(images: Tensor) -> Tensor:
        return next(values)[None, :, None, None].expand(1, 2, 8, 8)

    found = tiled(
        run, torch.zeros(1, 8, 12, dtype=torch.uint8), tile=8, overlap=0.5, task=task_for(CLASS_MAPS)
    )
    middle = found.exp()[0, 0, 4:8]
    share = strips(12, 8, 0.5)[0].own[4:]
    np.testing.assert_allclose(middle, share + (1 - share) / 2, rtol=1e-6)


def test_arrays_of_a_file_are_averaged_as_they_are() -> None:
    def constant(images: Any) -> Any:
        return np.full((len(images), 2, *images.shape[2:]), [[[[0.3]], [[0.7]]]], np.float32)

    found = tiled(constant, IMAGE, tile=32, batch=3)
    assert isinstance(found, np.ndarray) and (found == np.float32([[[0.3]], [[0.7]]])).all()


def test_a_network_with_a_view_of_some_pixels_is_the_same_inside_of_tiles() -> None:
    torch.manual_seed(0)
    net = nn.Conv2d(3, 2, 5, padding=2)
    image = torch.from_numpy(IMAGE)
    with torch.inference_mode():
        whole = net(image[None].float())[0]
        found = tiled(lambda images: net(images.float()), image, tile=64, overlap=0.5)
    assert (found - whole).abs().max() < 0.1 * whole.abs().max()
    torch.testing.assert_close(found[:, :20, :20], whole[:, :20, :20])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"tile": 0}, "tile: expected a side of at least 1 pixel, got 0."),
        ({"overlap": 1}, "overlap: expected a fraction from 0 to below 1, got 1."),
        ({"batch": 0}, "batch: expected at least 1 tile, got 0."),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        tiled(logits, IMAGE, **options)
    assert str(caught.value) == text


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(DataError, match=r"expected an array \[channels, height, width\], got \[90, 131\]"):
        tiled(logits, IMAGE[0])
    with pytest.raises(
        DataError, match=r"expected maps \[1, C, 90, 131\] of the size of the tiles, got \[1, 2\]"
    ):
        tiled(lambda images: np.zeros((1, 2)), IMAGE)
