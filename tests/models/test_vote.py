"""Lazy evaluation: a network runs at most once on an image, when it is requested."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from committee.combiners.cascade import Cascade
from committee.models.ensemble import Ensemble


class Counting(nn.Module):
    """A network on the mean brightness of images, which counts them."""

    def __init__(self, slope: float, name: str) -> None:
        super().__init__()
        self.slope, self.name, self.class_names, self.seen = (
            nn.Parameter(torch.tensor(slope)),
            name,
            ("a", "b"),
            0,
        )

    def forward(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        level = images.float().mean(dim=(1, 2, 3)) / 255 - 0.5
        return torch.stack([self.slope * level, -self.slope * level], dim=1)


def cascade(members: list[Counting], threshold: float) -> Ensemble:
    """Return a cascade of two networks, in which images of medium brightness reach the second."""
    rule = Cascade().bind([member.name for member in members])
    rule.set_buffers(
        order=torch.arange(2), inverse_temperature=torch.ones(2), threshold=torch.tensor([threshold, 0.0])
    )
    return Ensemble(members, rule, name=f"cascade_{threshold}")


def photos(count: int = 21) -> Tensor:
    level = torch.linspace(0, 255, count).to(torch.uint8)
    return level[:, None, None, None].expand(count, 1, 4, 4).contiguous()


def test_rows_that_two_votes_request_run_once() -> None:
    one, two = Counting(8.0, "one"), Counting(4.0, "two")
    nested = Ensemble([cascade([one, two], 0.9), cascade([one, two], 0.99)], "soft_voting")
    images = photos()
    with torch.inference_mode():
        output = nested.infer(images)
        counts = one.seen, two.seen
        dense = nested(images)
    torch.testing.assert_close(output, dense)
    assert counts[0] == len(images) and 0 < counts[1] < len(images)


def test_a_batch_that_exits_at_the_first_stage() -> None:
    one, two = Counting(8.0, "one"), Counting(4.0, "two")
    with torch.inference_mode():
        cascade([one, two], 0.0).infer(photos())
    assert (one.seen, two.seen) == (21, 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_few_sizes_of_batch_are_met() -> None:
    one, two = Counting(8.0, "one"), Counting(4.0, "two")
    ensemble = cascade([one, two], 0.9).cuda()
    images = photos().cuda()
    with torch.inference_mode():
        output = ensemble.infer(images)
        met = two.seen
        torch.testing.assert_close(output, ensemble(images))
    assert met and met & (met - 1) == 0
