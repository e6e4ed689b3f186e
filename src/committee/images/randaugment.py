"""RandAugment: two of fourteen operations with one magnitude (Cubuk, Zoph, Shlens, Le 2020)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from committee.images import enhance

ROUNDS = 2
DRAWS = 2 * ROUNDS
GEOMETRY = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
COLOR: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": enhance.brightness,
    "saturation": enhance.saturation,
    "contrast": enhance.contrast,
    "sharpness": enhance.sharpness,
    "posterize": enhance.posterize,
    "solarize": enhance.solarize,
    "autocontrast": enhance.autocontrast,
    "equalize": enhance.equalize,
}
OPERATIONS = ("identity", *GEOMETRY, *COLOR)


@dataclass(frozen=True, eq=False)
class Plan:
    """The operations drawn for a batch.

    Parameters
    ----------
    operations : int64 `[B, ROUNDS]`
        Indices into `OPERATIONS`.
    strengths : float32 `[B, ROUNDS]`
        The magnitude in 0..1 with a random sign.
    """

    operations: Tensor
    strengths: Tensor

    @property
    def moved(self) -> Tensor:
        """Mask `[B]` of the samples that are rotated, sheared or translated."""
        return ((self.operations >= 1) & (self.operations <= len(GEOMETRY))).any(1)

    @property
    def geometry(self) -> Tensor:
        """All rotations, shears and translations of a sample as one affine map `[B, 3, 3]`."""
        first, second = (self._maps(number) for number in range(ROUNDS))
        return first @ second

    def _maps(self, number: int) -> Tensor:
        amounts = {
            name: self.strengths[:, number] * (self.operations[:, number] == OPERATIONS.index(name))
            for name in GEOMETRY
        }
        angle = amounts["rotate"] * math.radians(30)
        cos, sin = angle.cos(), angle.sin()
        return affine(
            cos,
            sin + 0.3 * amounts["shear_x"],
            0.9 * amounts["translate_x"],
            -sin + 0.3 * amounts["shear_y"],
            cos,
            0.9 * amounts["translate_y"],
        )

    def recolor(self, pixels: Tensor) -> Tensor:
        """Apply the color operations in place, each to the samples for which it was drawn."""
        for number in range(ROUNDS):
            for name, change in COLOR.items():
                rows = (self.operations[:, number] == OPERATIONS.index(name)).nonzero()[:, 0]
                if len(rows):
                    amount = _amount(name, self.strengths[rows, number])
                    pixels.index_copy_(0, rows, change(pixels.index_select(0, rows), amount))
        return pixels


def plan(draws: Sequence[Tensor], magnitude: int) -> Plan:
    """Return the operations for `DRAWS` uniform numbers `[B]` and a magnitude in 1..10."""
    drawn = torch.stack(tuple(draws), dim=1)
    operations = (drawn[:, :ROUNDS] * len(OPERATIONS)).long()
    signs = torch.where(drawn[:, ROUNDS:] < 0.5, -1.0, 1.0)
    return Plan(operations, signs * (magnitude / 10))


def _amount(name: str, strength: Tensor) -> Tensor:
    if name == "posterize":
        return 8 - (4 * strength.abs()).round()
    if name == "solarize":
        return 256 * (1 - strength.abs())
    return 1 + 0.9 * strength


def affine(a: Tensor, b: Tensor, x: Tensor, c: Tensor, d: Tensor, y: Tensor) -> Tensor:
    """Return the maps `[B, 3, 3]` with rows (a, b, x), (c, d, y), (0, 0, 1)."""
    zero, one = torch.zeros_like(a), torch.ones_like(a)
    return torch.stack((a, b, x, c, d, y, zero, zero, one), dim=1).view(-1, 3, 3)
