"""Members under a view."""

from __future__ import annotations

from pathlib import Path

import torch

from committee.models.composites.viewed import Viewed
from committee.models.descriptions import provenance_of
from committee.models.ensemble import load, views_of
from committee.models.member import Member
from committee.models.views.base import SingleView
from committee.models.views.shift import Shift

PHOTOS = torch.randint(0, 256, (4, 3, 40, 30), dtype=torch.uint8)


@torch.no_grad()
def test_a_saved_view_is_read_again(tmp_path: Path) -> None:
    net = Member.build("test_resnet", classes="abc", size=32, seed=0).eval()
    viewed = Viewed([net], "abc", "net_left", SingleView(Shift(0.1), "left_0.1")).eval()
    viewed.provenance = {"epochs": 0}
    viewed.save(tmp_path)
    again = load(tmp_path)
    assert isinstance(again, Viewed) and again.provenance == {"epochs": 0} == provenance_of(tmp_path)
    assert torch.equal(again(PHOTOS), viewed(PHOTOS)) and not torch.equal(viewed(PHOTOS), net(PHOTOS))
    torch.testing.assert_close(again.infer(PHOTOS), viewed(PHOTOS))
    assert [view.size for view in views_of(tmp_path)] == [32]
