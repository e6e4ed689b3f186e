"""Latency of an ensemble of four networks of 224 pixels on one photo of 12 megapixels.

The networks share the resized photo. They are compared with networks that each resize it: in the same way,
and in float32 by `torch.nn.functional.interpolate`, as `committee` did before. The weights are random and the
networks small, so that resizing matters; their own time, without resizing, is in the note.
"""

from __future__ import annotations

import numpy as np
import torch
from harness import Row, compare, main
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.functional import center_crop

from committee.images.view import canvas_size
from committee.models.batch import Batch
from committee.models.ensemble import Ensemble
from committee.models.measure import call_times
from committee.models.member import Member

QUESTION, TARGET = "four members on one photo", 1
NAMES = ("mobilenetv3_small_050", "mobilenetv3_small_100", "mobilenetv2_050", "tinynet_e")


def in_float(member: Member, photo: Tensor) -> Tensor:
    """Return logits for a photo that is resized in float32."""
    side, size = min(photo.shape[2:]), canvas_size(member.view.size)
    square = functional.interpolate(
        center_crop(photo, [side, side]).float(), (size, size), mode="bilinear", antialias=True
    )
    return member.network(member.view.normalize(center_crop(square, [member.view.size] * 2)))


@torch.inference_mode()
def measure(quick: bool) -> list[Row]:
    """Compare the shared resizing with one resizing for each network."""
    names = ("test_resnet", "test_byobnet") if quick else NAMES
    height, width, size = (60, 80, 32) if quick else (3000, 4000, 224)
    photo = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, height, width), dtype=np.uint8))
    classes = [str(place) for place in range(10)]
    members = [Member.build(f"timm:{name}", classes=classes, size=size, name=name, seed=0) for name in names]
    ensemble = Ensemble(members).eval()
    networks = float(np.median(call_times(ensemble, Batch(photo), 1 if quick else 10, 1)))
    work = f"{' + '.join(names)}, {width} x {height} to {size} px, one thread"
    peers = {
        "each resizes the photo": lambda: [member(photo) for member in members],
        "each resizes it in float32": lambda: [in_float(member, photo) for member in members],
    }
    rows = []
    for peer, call in peers.items():
        ours, ratio, low, high = compare(lambda: ensemble.infer(photo), call, 1 if quick else 7)
        note = f"of which the networks {networks:.0f} ms"
        rows.append(Row(QUESTION, work, peer, ours, ratio, low, high, TARGET, note))
    return rows


if __name__ == "__main__":
    main(measure)
