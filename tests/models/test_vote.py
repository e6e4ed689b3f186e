"""Answers: a network runs on a photo when it is asked about it, and once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from committee.combiners.cascade import Cascade
from committee.models.ensemble import Ensemble


class Counting(nn.Module):
    """Logits from the mean brightness of photos; counts the photos it sees."""

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
    """Return a cascade of two networks; photos near the middle of brightness go on."""
    rule = Cascade().bind([member.name for member in members])
    rule.keep(
        order=torch.arange(2), inverse_temperature=torch.ones(2), threshold=torch.tensor([threshold, 0.0])
    )
    return Ensemble(members, rule, name=f"cascade_{threshold}")


def photos(count: int = 21) -> Tensor:
    level = torch.linspace(0, 255, count).to(torch.uint8)
    return level[:, None, None, None].expand(count, 1, 4, 4).contiguous()


def test_rows_that_two_votes_ask_for_run_once() -> None:
    one, two = Counting(8.0, "one"), Counting(4.0, "two")
    nested = Ensemble([cascade([one, two], 0.9), cascade([one, two], 0.99)], "soft_voting")
    images = photos()
    with torch.inference_mode():
        said = nested.infer(images)
        asked = one.seen, two.seen
        dense = nested(images)
    torch.testing.assert_close(said, dense)
    assert asked[0] == len(images) and 0 < asked[1] < len(images)


def test_a_batch_of_which_nobody_goes_on() -> None:
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
        said = ensemble.infer(images)
        met = two.seen
        torch.testing.assert_close(said, ensemble(images))
    assert met and met & (met - 1) == 0
