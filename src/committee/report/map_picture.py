"""A picture of an image, its mask, the predicted map, and where members disagree, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from committee.inference.palette import palette
from committee.predictions.target_types import CLASS_MAPS, NUMBER_MAPS, TargetType

SIDE = 360
"""Longer side of a panel in pixels; small images are enlarged by a whole factor."""
GAP, LINE, TEXT = 10, 22, 14
LISTED = 12
IGNORED = (128, 128, 128)
"""Color of pixels without a label."""
SCALE = np.array(
    [
        (68, 1, 84),
        (71, 44, 122),
        (59, 81, 139),
        (44, 113, 142),
        (33, 144, 141),
        (39, 173, 129),
        (92, 200, 99),
        (170, 220, 50),
        (253, 231, 37),
    ],
    np.float64,
)
"""Colors of numbers from small to large: those of matplotlib's `viridis`, which grow brighter."""

Panel = tuple[str, NDArray[np.uint8]]
Legend = list[tuple[str, tuple[int, ...]]]
Parts = tuple[list[Panel], Legend, list[Panel]]
"""Panels of maps, their legend, and what is shown of the uncertainty without members."""


def map_picture(
    image: NDArray[np.uint8],
    maps: NDArray[np.float32],
    names: Sequence[str],
    target_type: TargetType,
    *,
    mask: NDArray[Any] | None = None,
    disagreement: NDArray[np.float32] | None = None,
    title: str = "",
) -> Image.Image:
    """Return a picture of an image and what is predicted for its pixels.

    Parameters
    ----------
    image : uint8 array [c, H, W]
        1 or 3 channels.
    maps : float32 array [C, H, W]
        Probabilities of classes, or numbers, of which the first is shown.
    names : sequence of str
        Names of the classes or targets.
    target_type : TargetType
        What the maps are.
    mask : int or float array [H, W], optional
        Index of the true class of each pixel, negative where it is not known; or the true number, or NaN.
    disagreement : float32 array [H, W], optional
        How much members disagree, such as `committee.models.disagreement.disagreement`. Without it, pictures
        of classes show the entropy of the probabilities.
    title : str
        Text above the panels.

    Returns
    -------
    PIL.Image.Image
        RGB.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.predictions.target_types import CLASS_MAPS
    >>> from committee.report.map_picture import map_picture
    >>> image, maps = np.zeros((3, 20, 30), np.uint8), np.full((2, 20, 30), 0.5, np.float32)
    >>> map_picture(image, maps, ["ground", "cell"], CLASS_MAPS).mode
    'RGB'
    """
    colored, legend, own = _COLORS[target_type.name](maps, names, mask)
    gray = np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0)
    panels = [("image", np.ascontiguousarray(gray)), *colored]
    if disagreement is not None:
        own = [(f"disagreement of members, 0 to {disagreement.max():.3g}", _heat(disagreement))]
    return _composed([*panels, *own], legend, title)


def _classes(maps: NDArray[np.float32], names: Sequence[str], mask: NDArray[Any] | None) -> Parts:
    """Return the panels of a mask and of predicted classes, the colors of those that occur, and entropy."""
    colors, predicted = np.vstack([palette(len(names)), IGNORED]).astype(np.uint8), maps.argmax(axis=0)
    shown = [("prediction", predicted)] if mask is None else [("mask", mask), ("prediction", predicted)]
    there = np.unique(np.concatenate([np.unique(each) for _, each in shown]))
    legend: Legend = [(names[index], tuple(colors[index].tolist())) for index in there[there >= 0][:LISTED]]
    if there[0] < 0:
        legend.append(("no label", IGNORED))
    entropy = -(maps * np.log(np.maximum(maps, np.finfo(np.float32).tiny))).sum(axis=0)
    own = [(f"entropy, 0 to {entropy.max():.3g} nats", _heat(entropy))]
    return [(name, colors[np.where(each < 0, len(names), each)]) for name, each in shown], legend, own


def _numbers(maps: NDArray[np.float32], names: Sequence[str], mask: NDArray[Any] | None) -> Parts:
    """Return the panels of true and predicted numbers in one range, and its ends."""
    shown = [(f"predicted {names[0]}", maps[0])]
    if mask is not None:
        shown.insert(0, (f"true {names[0]}", mask))
    known = np.concatenate([each[np.isfinite(each)] for _, each in shown])
    low, high = float(known.min()), float(known.max())
    ends = zip((low, (low + high) / 2, high), _scaled(np.array([0.0, 0.5, 1.0])).tolist(), strict=True)
    legend: Legend = [(f"{value:.4g}", tuple(color)) for value, color in ends]
    return [(name, _between(each, low, high)) for name, each in shown], legend, []


_COLORS: Mapping[str, Callable[..., Parts]] = {
    CLASS_MAPS.name: _classes,
    NUMBER_MAPS.name: _numbers,
}


def _heat(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    return _between(values, 0.0, float(values.max()))


def _between(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Return colors of values in a range, uint8 `[H, W, 3]`; gray of NaN."""
    known = np.isfinite(values)
    part = np.where(known, values - low, 0) / max(high - low, np.finfo(np.float32).tiny)
    return np.where(known[..., None], _scaled(part), np.uint8(IGNORED[0]))


def _scaled(part: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the colors of numbers from 0 to 1, uint8 `[..., 3]`."""
    places = np.linspace(0, 1, len(SCALE))
    return np.stack([np.interp(part, places, channel) for channel in SCALE.T], -1).round().astype(np.uint8)


def _composed(panels: Sequence[Panel], legend: Legend, title: str) -> Image.Image:
    """Return panels in a row with their titles above, and the legend below."""
    pictures = [_sized(pixels) for _, pixels in panels]
    width, height = pictures[0].size
    wide = max(width, 170)
    top = GAP + LINE * (2 if title else 1)
    page = Image.new(
        "RGB", (GAP + len(panels) * (wide + GAP), top + height + GAP + LINE + GAP), (255, 255, 255)
    )
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(TEXT)
    if title:
        draw.text((GAP, GAP // 2), title, "black", font)
    for place, ((name, _), picture) in enumerate(zip(panels, pictures, strict=True)):
        left = GAP + place * (wide + GAP)
        draw.text((left, top - LINE + 2), name, "black", font)
        page.paste(picture, (left, top))
    left, y = GAP, top + height + GAP
    for name, color in legend:
        draw.rectangle((left, y + 2, left + TEXT, y + 2 + TEXT), color, "black")
        draw.text((left + TEXT + 6, y), name, "black", font)
        left += TEXT + 6 + round(draw.textlength(name, font)) + 2 * GAP
    return page


def _sized(pixels: NDArray[np.uint8]) -> Image.Image:
    """Return pixels as a panel: reduced to `SIDE`, or enlarged by a whole factor."""
    image, longer = Image.fromarray(pixels), max(pixels.shape[:2])
    if longer > SIDE:
        sides = [max(1, round(side * SIDE / longer)) for side in image.size]
        return image.resize((sides[0], sides[1]), Image.Resampling.BOX)
    factor = max(1, SIDE // longer)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
