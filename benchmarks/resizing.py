"""Exact resizing of one image to the canvas of a network of 224 pixels, compared with torch's float resizing.

The peer is what the preprocessing did before: the middle square is gathered (`index_select`), converted to
float32, and resized by `torch.nn.functional.interpolate(antialias=True)`. Both use one thread.
"""

from __future__ import annotations

from functools import partial

import torch
from harness import Row, compare, main
from torch import Tensor
from torch.nn import functional

from committee.images.view import canvas_size, frame

SIZES = ((3000, 4000), (1000, 1500), (375, 500), (60, 80))
"""Heights and widths of photos."""


def interpolated(images: Tensor, size: int) -> Tensor:
    """Return the middle square, resized in float32."""
    height, width = images.shape[-2:]
    side = min(height, width)
    steps = torch.arange(side)
    middle = images.index_select(2, steps + (height - side) // 2).index_select(3, steps + (width - side) // 2)
    return functional.interpolate(middle.float(), (size, size), mode="bilinear", antialias=True)


def measure(quick: bool) -> list[Row]:
    """Return one row per size of photos."""
    torch.set_num_threads(1)
    rows, size = [], canvas_size(224)
    for height, width in SIZES[-1:] if quick else SIZES:
        photo = torch.randint(0, 256, (1, 3, height, width), dtype=torch.uint8)
        ours, theirs = partial(frame, photo, size, "crop"), partial(interpolated, photo, size)
        own, *ratios = compare(ours, theirs, 3 if quick else 11)
        levels = (ours().float() - theirs()).abs().max()
        rows.append(
            Row(
                "resizing",
                f"{width} x {height} to {size} x {size}, 1 thread",
                "index_select + interpolate, float32",
                own,
                *ratios,
                note=f"largest difference {levels:.2f} levels",
            )
        )
    return rows


if __name__ == "__main__":
    main(measure)
