"""Eight views of each image by one network: as one batch, against one view after the other, and ttach.

The limit `committee.models.vote.TOGETHER` follows from the number of images at which both take the same time.
What views are worth is measured by the commands in `tta.yaml`.
"""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

import numpy as np
import torch
from harness import Row, absent, compare, installed, main

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
        row
        for name, size in NETWORKS[: 1 if quick else None]
        for count in BATCHES[: 1 if quick else None]
        for row in rows(name, size, count, 1 if quick else 5)
    ]


def rows(name: str, size: int, count: int, rounds: int) -> Iterator[Row]:
    """Yield the time of one batch, and how many times as long the loop and ttach take."""
    net = Member.build(f"timm:{name}", classes="abcdefghij", size=size, name=name, seed=0).eval()
    views = distinct([D4()]).items()
    viewed = [Viewed([net], net.class_names, f"{name}_{key}", view) for key, view in views]
    ensemble = Ensemble([net, *viewed]).eval()
    images = np.random.default_rng(0).integers(0, 256, (count, 3, size, size), dtype=np.uint8)
    batch = Batch(torch.from_numpy(images))

    def run(together: int) -> None:
        with mock.patch.object(vote, "TOGETHER", together):
            ensemble(batch)

    found = compare(lambda: run(10**6), lambda: run(1), rounds)
    work = f"{name} {size} px, {count} images, one thread"
    yield Row(QUESTION, f"{work}, {8 * count} together", "one view after the other", *found)
    if not installed("ttach"):
        yield absent("eight views", work, "ttach", 1.0, "ttach")
        return
    import ttach

    wrapper = ttach.ClassificationTTAWrapper(net.network, ttach.aliases.d4_transform(), merge_mode="mean")
    pixels = batch.normalized(net.view)
    found = compare(lambda: run(vote.TOGETHER), lambda: wrapper(pixels), rounds)
    yield Row("eight views", work, "ttach", *found, target=1.0)


if __name__ == "__main__":
    main(measure)
