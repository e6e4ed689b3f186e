"""Tiled prediction of an image of 4096 x 4096 pixels: time against that of its tiles alone, and peak memory.

The network is a small one, of four convolutions, so that averaging matters. The same tiles are run one by one
without keeping their outputs; and tiles that do not overlap, of which there are half as many. The peak is
that of a process of its own.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from harness import Row, compare, main
from torch import Tensor, nn

from committee.models.tiling import strips, tiled
from committee.models.timing import peak_memory_mb
from committee.tasks.base import TASKS

QUESTION = "tiled prediction of a large image"
SIDE, TILE, OVERLAP = 4096, 512, 0.25
TARGET, MEMORY = 1 / 1.5, 1000


def network() -> nn.Module:
    """Return a network from images to the logits of two classes of each pixel."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU(), nn.Conv2d(16, 32, 3, 2, 1), nn.ReLU()]
    layers += [
        nn.Conv2d(32, 32, 3, 1, 1),
        nn.ReLU(),
        nn.Conv2d(32, 2, 1),
        nn.UpsamplingBilinear2d(scale_factor=4),
    ]
    return nn.Sequential(*layers).eval()


def image(side: int) -> Tensor:
    """Return an image of noise."""
    return torch.randint(
        0, 256, (3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def runner() -> Callable[[Tensor], Tensor]:
    """Return the function from tiles to logits."""
    net = network()
    return lambda tiles: net(tiles.float() / 255)


def alone(run: Callable[[Tensor], Tensor], photo: Tensor, tile: int, overlap: float) -> None:
    """Run the tiles, and drop their outputs."""
    for y, x in itertools.product(*(strips(side, tile, overlap) for side in photo.shape[1:])):
        run(photo[None, :, y.pixels, x.pixels])


@torch.inference_mode()
def peak(side: int) -> float:
    """Return the peak memory of this process after a tiled prediction, in MB."""
    tiled(runner(), image(side), tile=TILE, overlap=OVERLAP, task=TASKS.make("segmentation"))
    return peak_memory_mb()


def peak_alone(side: int) -> float:
    """Return `peak` of a process of its own."""
    program = f"import json, sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import tiling; "
    program += f"print(json.dumps(tiling.peak({side})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1]))


@torch.inference_mode()
def measure(quick: bool) -> list[Row]:
    """Compare the tiled prediction with its tiles alone."""
    side, tile = (256, 64) if quick else (SIDE, TILE)
    run, photo, task = runner(), image(side), TASKS.make("segmentation")
    rows = []
    for overlap, peer in ((OVERLAP, "the same tiles alone"), (0.0, "tiles that do not overlap")):
        ours, ratio, low, high = compare(
            lambda: tiled(run, photo, tile=tile, overlap=OVERLAP, task=task),
            lambda overlap=overlap: alone(run, photo, tile, overlap),
            1 if quick else 5,
        )
        count = len(strips(side, tile, overlap)) ** 2
        target = TARGET if overlap else None
        work = f"{side} x {side} pixels, 2 classes, tiles of {tile}, overlap {OVERLAP}"
        rows.append(Row(QUESTION, work, peer, ours, ratio, low, high, target, f"{count} tiles"))
    note = f"of which the image and the result {side**2 * 11 / 1e6:.0f} MB"
    rows.append(Row(QUESTION, work, "", peak_alone(side), target=MEMORY, note=note, unit="MB"))
    return rows


if __name__ == "__main__":
    main(measure)
