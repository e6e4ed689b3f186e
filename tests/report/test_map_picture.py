"""Pictures of maps: one panel for each part, in the colors of the classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from committee.inference.palette import palette
from committee.predictions.target_types import CLASS_MAPS, NUMBER_MAPS, TargetType
from committee.report.map_picture import IGNORED, SIDE, map_panels, map_picture

IMAGE = np.random.default_rng(0).integers(0, 256, (1, 20, 45), dtype=np.uint8)
MASK = np.arange(20 * 45).reshape(20, 45) % 3 - 1


def colors(picture: Any) -> set[tuple[int, ...]]:
    return {tuple(pixel) for pixel in np.unique(np.asarray(picture).reshape(-1, 3), axis=0).tolist()}


@pytest.mark.parametrize(
    ("target_type", "parts", "panels"),
    [
        (CLASS_MAPS, {}, 4),  # with the prediction on the image, and the entropy
        (CLASS_MAPS, {"mask": MASK, "disagreement": np.zeros((20, 45), np.float32)}, 6),
        (NUMBER_MAPS, {}, 2),
        (NUMBER_MAPS, {"mask": np.where(MASK < 0, np.nan, MASK), "title": "a.png"}, 4),
    ],
)
def test_panels_are_side_by_side(target_type: TargetType, parts: dict[str, Any], panels: int) -> None:
    maps = np.random.default_rng(1).dirichlet([1, 1], (20, 45)).transpose(2, 0, 1).astype(np.float32)
    picture = map_picture(IMAGE, maps, ["ground", "cell"], target_type, **parts)
    assert picture.width // (45 * (SIDE // 45)) == panels
    wanted = {tuple(color) for color in palette(2).tolist()} if target_type is CLASS_MAPS else set()
    assert wanted | ({IGNORED} if "mask" in parts else set()) <= colors(picture)


def test_large_images_are_reduced_and_small_ones_enlarged() -> None:
    maps = np.full((2, 1000, 500), 0.5, np.float32)
    large = map_picture(np.zeros((3, 1000, 500), np.uint8), maps, ["a", "b"], CLASS_MAPS)
    small = map_picture(np.zeros((3, 9, 5), np.uint8), maps[:, :9, :5], ["a", "b"], CLASS_MAPS)
    assert large.height == small.height


def test_errors_are_colored_on_the_image_where_a_label_differs() -> None:
    maps = np.zeros((2, 20, 45), np.float32)
    maps[1] = 1
    found = map_panels(np.zeros_like(IMAGE), maps, ["ground", "cell"], CLASS_MAPS, mask=MASK)
    titles = [title.partition(",")[0] for title, _ in found.panels]
    assert titles == [
        "image",
        "mask",
        "prediction",
        "prediction on the image",
        "errors on the image",
        "entropy",
    ]
    assert np.array_equal(found.panels[4][1].any(axis=2), MASK == 0) and "50.0%" in found.panels[4][0]
    assert [name for name, _ in found.legend] == ["ground", "cell", "no label", "error"]
    numbers = map_panels(np.zeros_like(IMAGE), maps[:1], ["depth"], NUMBER_MAPS, mask=MASK.astype(np.float32))
    title, pixels = numbers.panels[-1]
    assert title == "error on the image, 0 to 1" and pixels.max((0, 1)).tolist() == [128, 0, 40]
