"""Settings of the random augmentation of training images: presets, and keys that change them."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from pydantic import Field

from committee.recipe.section import Section

Preset = Literal["none", "mild", "strong"]


@dataclass(frozen=True)
class Amounts:
    """Random augmentation, with a value for each operation; the defaults change nothing.

    Parameters
    ----------
    flip : bool
        Mirror images horizontally with probability 0.5.
    color_jitter : float
        Largest relative change of brightness, contrast and saturation.
    hue : float
        Largest rotation of the hue, as a share of the color circle.
    random_resized_crop : float
        Smallest fraction of the image's area that a random crop keeps.
    randaugment : int
        Magnitude of RandAugment, 0..10.
    turn : bool
        Rotate images by 0, 90, 180 or 270 degrees.
    """

    flip: bool = False
    color_jitter: float = 0.0
    hue: float = 0.0
    random_resized_crop: float = 1.0
    randaugment: int = 0
    turn: bool = False

    @property
    def change_nothing(self) -> bool:
        """Whether images stay as they are."""
        return self == Amounts()


PRESETS: dict[Preset, Amounts] = {
    "none": Amounts(),
    "mild": Amounts(flip=True, color_jitter=0.1, hue=0.05),
    "strong": Amounts(flip=True, color_jitter=0.4, hue=0.1, random_resized_crop=0.4),
}


class Augment(Section):
    """Random augmentation of training images, drawn anew for each sample in each epoch.

    See Also
    --------
    committee.images.augment.augment : Augments a batch of images.

    Examples
    --------
    >>> from committee.recipe.augment import Augment
    >>> Augment(preset="mild", flip=False).amounts()
    Amounts(flip=False, color_jitter=0.1, hue=0.05, random_resized_crop=1.0, randaugment=0, turn=False)
    """

    preset: Literal[Preset, "auto"] = Field(
        "mild",
        description="Values of the keys that are null: none; mild (flip, color_jitter 0.1, hue 0.05); strong "
        "(flip, color_jitter 0.4, hue 0.1, random_resized_crop 0.4); or auto, which tries these three in "
        "short fits on training rows, for each backbone (end-to-end training of fusions is then mild). "
        "`augment: NAME` is short for `augment: {preset: NAME}`.",
    )
    flip: bool | None = Field(
        None,
        description="Mirror images horizontally with probability 0.5; null is the value of the preset.",
    )
    color_jitter: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Largest relative change of brightness, contrast and saturation; 0 disables it, null is "
        "the value of the preset.",
    )
    hue: float | None = Field(
        None,
        ge=0,
        le=0.5,
        description="Largest rotation of the hue, as a share of the color circle; 0 disables it, null is the "
        "value of the preset.",
    )
    random_resized_crop: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Smallest fraction of the image's area that a random crop keeps; 1 disables it, null is "
        "the value of the preset.",
    )
    randaugment: int | None = Field(
        None,
        ge=0,
        le=10,
        description="Magnitude of RandAugment with two operations (Cubuk et al. 2020); 0 disables it, null "
        "is the value of the preset.",
    )
    turn: bool | None = Field(
        None,
        description="Rotate images by 0, 90, 180 or 270 degrees, as fits images without an upper side, such "
        "as those of microscopes and satellites; null is the value of the preset, which is false.",
    )

    def amounts(self) -> Amounts:
        """Return the value of each operation. Until one of the presets is chosen, `auto` is `mild`."""
        given = self.model_dump(exclude={"preset"}, exclude_none=True)
        return replace(PRESETS["mild" if self.preset == "auto" else self.preset], **given)

    def candidates(self) -> dict[str, Augment]:
        """Return the presets that `auto` chooses from, by name, with the keys that are given."""
        return {name: self.model_copy(update={"preset": name}) for name in get_args(Preset)}

    def settings(self) -> dict[str, Any]:
        """Return what decides the augmentation, as plain JSON values; equal for equal values."""
        own: dict[str, Any] = {"preset": "auto"} if self.preset == "auto" else {}
        values = asdict(self.amounts())
        if not values["turn"]:  # as in the settings of earlier versions, so that their fits are found
            del values["turn"]
        return {**own, **values}
