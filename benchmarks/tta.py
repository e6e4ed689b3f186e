"""Eight views of each image by one network: as one batch, against one view after the other.

The limit `committee.models.vote.TOGETHER` follows from the number of images at which both take the same time.
What views are worth is measured by the commands in `tta.yaml`.
"""

from __future__ import annotations

from unittest import mock

import numpy as np
import torch
from harness import Row, compare, main

from committee.models import vote
from committee.models.batch import Batch
from committee.models.composites.viewed import Viewed
from committee.models.ensemble import Ensemble
from committee.models.member import Member
from committee.models.views.base import distinct
from committee.models.views.d4 import D4

QUESTION = "eight views as one batch"
NETWORKS = (("test_resnet", 32), ("mobilenetv3_small_050", 64), ("resnet18", 64))
BATCHES = (1, 8, 32)


@torch.inference_mode()
def measure(quick: bool) -> list[Row]:
    """Compare both for several networks and numbers of images."""
    return [
        row(name, size, count, 1 if quick else 3)
        for name, size in NETWORKS[: 1 if quick else None]
        for count in BATCHES[: 1 if quick else None]
    ]


def row(name: str, size: int, count: int, rounds: int) -> Row:
    """Return the time of one batch, and how many times as long the loop takes."""
    net = Member.build(f"timm:{name}", classes="abcdefghij", size=size, name=name, seed=0).eval()
    views = distinct([D4()]).items()
    viewed = [Viewed([net], net.class_names, f"{name}_{key}", view) for key, view in views]
    ensemble = Ensemble([net, *viewed]).eval()
    images = np.random.default_rng(0).integers(0, 256, (count, 3, size, size), dtype=np.uint8)
    batch = Batch(torch.from_numpy(images))

    def run(together: int) -> None:
        with mock.patch.object(vote, "TOGETHER", together):
            ensemble(batch)

    ours, ratio, low, high = compare(lambda: run(10**6), lambda: run(1), rounds)
    work = f"{name} {size} px, {count} images, {8 * count} together, one thread"
    return Row(QUESTION, work, "one view after the other", ours, ratio, low, high)


if __name__ == "__main__":
    main(measure)
