"""Panels of an image, its mask, the predicted map, both laid over the image, and where members disagree."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
ERROR = (255, 0, 80)
"""Color of pixels of which another class is predicted."""
OPACITY = 0.5
"""Opacity of what is laid over an image."""
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


@dataclass(frozen=True, eq=False)
class MapPanels:
    """What is shown of an image and its maps.

    Attributes
    ----------
    panels : list of (str, uint8 array [H, W, 3])
        Titles and pixels, of one size.
    legend : list of (str, tuple of int)
        Names of classes, or numbers, and their colors.
    """

    panels: Sequence[Panel]
    legend: Sequence[tuple[str, tuple[int, ...]]]


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
    found = map_panels(image, maps, names, target_type, mask=mask, disagreement=disagreement)
    return _composed(found.panels, found.legend, title)


def map_panels(
    image: NDArray[np.uint8],
    maps: NDArray[np.float32],
    names: Sequence[str],
    target_type: TargetType,
    *,
    mask: NDArray[Any] | None = None,
    disagreement: NDArray[np.float32] | None = None,
) -> MapPanels:
    """Return the panels of an image and what is predicted for its pixels; see `map_picture`.

    These are the image, the mask, the prediction, and, transparent on the image, the predicted classes and
    the errors; then the disagreement, or the entropy of classes.
    """
    pixels = np.ascontiguousarray(np.broadcast_to(image, (3, *image.shape[1:])).transpose(1, 2, 0))
    panels, legend = _PANELS[target_type.name](pixels, maps, names, mask)
    if disagreement is not None:
        panels.append((f"disagreement of members, 0 to {disagreement.max():.3g}", _heat(disagreement)))
    elif target_type.name in _UNCERTAINTIES:
        panels.append(_UNCERTAINTIES[target_type.name](maps))
    return MapPanels([("image", pixels), *panels], legend)


def _classes(
    pixels: NDArray[np.uint8], maps: NDArray[np.float32], names: Sequence[str], mask: NDArray[Any] | None
) -> tuple[list[Panel], Legend]:
    """Return the panels of a mask and of predicted classes, and the colors of those that occur."""
    colors, predicted = np.vstack([palette(len(names)), IGNORED]).astype(np.uint8), maps.argmax(axis=0)
    shown = [("prediction", predicted)] if mask is None else [("mask", mask), ("prediction", predicted)]
    there = np.unique(np.concatenate([np.unique(each) for _, each in shown]))
    legend: Legend = [(names[index], tuple(colors[index].tolist())) for index in there[there >= 0][:LISTED]]
    if there[0] < 0:
        legend.append(("no label", IGNORED))
    panels = [(name, colors[np.where(each < 0, len(names), each)]) for name, each in shown]
    panels.append(("prediction on the image", _over(pixels, colors[predicted])))
    if mask is not None:
        known, wrong = mask >= 0, (mask >= 0) & (mask != predicted)
        share = wrong.sum() / max(known.sum(), 1)
        panels.append((f"errors on the image, {share:.1%}", _over(pixels, np.array(ERROR, np.uint8), wrong)))
        legend.append(("error", ERROR))
    return panels, legend


def _numbers(
    pixels: NDArray[np.uint8], maps: NDArray[np.float32], names: Sequence[str], mask: NDArray[Any] | None
) -> tuple[list[Panel], Legend]:
    """Return the panels of true and predicted numbers in one range, and its ends."""
    shown = [(f"predicted {names[0]}", maps[0])]
    if mask is not None:
        shown.insert(0, (f"true {names[0]}", mask))
    known = np.concatenate([each[np.isfinite(each)] for _, each in shown])
    low, high = float(known.min()), float(known.max())
    ends = zip((low, (low + high) / 2, high), _scaled(np.array([0.0, 0.5, 1.0])).tolist(), strict=True)
    legend: Legend = [(f"{value:.4g}", tuple(color)) for value, color in ends]
    panels = [(name, _between(each, low, high)) for name, each in shown]
    if mask is not None and np.isfinite(mask).any():
        error = np.abs(maps[0] - mask)
        most = float(np.nanmax(error))
        part = np.nan_to_num(error / max(most, np.finfo(np.float32).tiny))[..., None]
        panels.append(
            (f"error on the image, 0 to {most:.3g}", _over(pixels, np.array(ERROR, np.uint8), part))
        )
        legend.append(("largest error", ERROR))
    return panels, legend


def _over(
    pixels: NDArray[np.uint8], colors: NDArray[np.uint8], where: NDArray[Any] | float = 1.0
) -> NDArray[np.uint8]:
    """Return an image in gray under transparent colors; `where` is a factor of the opacity of each pixel."""
    gray = np.broadcast_to(pixels.mean(axis=2, keepdims=True), pixels.shape)
    opacity = OPACITY * np.asarray(where, np.float64)
    opacity = opacity[..., None] if opacity.ndim == 2 else opacity
    return (gray * (1 - opacity) + colors * opacity).round().astype(np.uint8)


_PANELS: Mapping[str, Callable[..., tuple[list[Panel], Legend]]] = {
    CLASS_MAPS.name: _classes,
    NUMBER_MAPS.name: _numbers,
}


def _entropy(maps: NDArray[np.float32]) -> Panel:
    """Return the panel of the entropy of predicted classes."""
    entropy = -(maps * np.log(np.maximum(maps, np.finfo(np.float32).tiny))).sum(axis=0)
    return f"entropy, 0 to {entropy.max():.3g} nats", _heat(entropy)


_UNCERTAINTIES: Mapping[str, Callable[[NDArray[np.float32]], Panel]] = {CLASS_MAPS.name: _entropy}


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


def _composed(
    panels: Sequence[Panel], legend: Sequence[tuple[str, tuple[int, ...]]], title: str
) -> Image.Image:
    """Return panels in a row with their titles above, and the legend below."""
    pictures = [sized(pixels) for _, pixels in panels]
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


def sized(pixels: NDArray[np.uint8]) -> Image.Image:
    """Return pixels as a panel: reduced to `SIDE`, or enlarged by a whole factor."""
    image, longer = Image.fromarray(pixels), max(pixels.shape[:2])
    if longer > SIDE:
        sides = [max(1, round(side * SIDE / longer)) for side in image.size]
        return image.resize((sides[0], sides[1]), Image.Resampling.BOX)
    factor = max(1, SIDE // longer)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
