"""Images are resized once for all networks with the same size, fit and channels, however they are nested."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from committee.base.tracing import tracing
from committee.combiners.base import Combiner
from committee.combiners.cascade import Cascade
from committee.images.view import View
from committee.models.batch import Batch, LazyRows
from committee.models.composites.boosted import Boosted
from committee.models.composites.fusion import Fusion
from committee.models.composites.moe import Moe
from committee.models.ensemble import Ensemble, folds_member
from committee.models.fusions.concat_mlp import ConcatMlp
from committee.models.member import Member

PHOTOS = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, 3, 40, 30), dtype=np.uint8))


def member(seed: int, size: int = 8, mean: float = 0.5) -> Member:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, 4), nn.ReLU(), nn.Linear(4, 3))
    return Member.from_module(net, classes="abc", size=size, mean=mean, std=0.25, name=f"net_{seed}").eval()


def cascade(count: int) -> Combiner:
    rule = Cascade().bind([f"net_{k}" for k in range(count)])
    thresholds = torch.tensor([*[0.4] * (count - 1), 0.0])
    rule.set_buffers(order=torch.arange(count), inverse_temperature=torch.ones(count), threshold=thresholds)
    return rule


def three() -> list[Member]:
    """Three members, of which two have the same resizing but not the same normalization."""
    return [member(0), member(1, mean=0.4), member(2, size=12)]


def moe() -> Moe:
    torch.manual_seed(0)
    return Moe(three(), "abc", "moe", View(12, 0.5, 0.5), 4, 2).eval()


def fusion() -> Fusion:
    torch.manual_seed(0)
    return Fusion(three(), "abc", "fusion", ConcatMlp([4, 4, 4], 3, hidden_dims=[5]), "concat_mlp").eval()


MODELS: dict[str, Callable[[], Any]] = {
    "soft_voting": lambda: Ensemble(three()),
    "cascade": lambda: Ensemble(three(), cascade(3)),
    "folds": lambda: folds_member(three(), "folds"),
    "boosted": lambda: Boosted(three(), "abc", "series", [1.0, 0.5, 0.5]),
    "moe": moe,
    "fusion": fusion,
    "nested": lambda: Ensemble([Ensemble(three()), moe(), fusion(), Ensemble([member(7), moe()])]),
}


@pytest.fixture
def cuts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The size of each resized copy, and the number of its images."""
    found: list[tuple[int, int]] = []
    original = View.cut

    def cut(self: View, images: Tensor) -> Tensor:
        found.append((self.size, images.shape[0]))
        return original(self, images)

    monkeypatch.setattr(View, "cut", cut)
    return found


@torch.no_grad()
@pytest.mark.parametrize("name", MODELS)
def test_each_image_is_resized_once_for_a_size(name: str, cuts: list[tuple[int, int]]) -> None:
    model = MODELS[name]().eval()
    output = model(PHOTOS)
    assert sorted(cuts) == [(8, 6), (12, 6)]
    cuts.clear()
    torch.testing.assert_close(model.infer(PHOTOS), output, rtol=1e-5, atol=1e-6)
    assert sum(images for size, images in cuts if size == 8) <= 6
    assert sum(images for size, images in cuts if size == 12) <= 6
    cuts.clear()
    with tracing():
        torch.export.export(model, (PHOTOS,), strict=False)
    assert [size for size, _ in sorted(cuts)] == [8, 12]


@torch.no_grad()
def test_shared_images_give_the_outputs_of_each_member_alone() -> None:
    members = three()
    expected = torch.stack([each(PHOTOS) for each in members])
    assert torch.equal(Ensemble(members).member_logits(PHOTOS), expected)
    batch = Batch(PHOTOS).select(torch.tensor([4, 1])).select(torch.tensor([1, 0, 0]))
    assert len(batch) == 3 and torch.equal(batch.images, PHOTOS[[1, 4, 4]])
    assert torch.equal(batch.run(members[2]), members[2](PHOTOS[[1, 4, 4]]))


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_images_are_normalized_once_unless_they_are_changed(mode: Callable[[], Any]) -> None:
    first, same, other = View(8, 0.5, 0.5), View(8, 0.5, 0.5), View(8, 0.4, 0.5)
    with mode():
        for batch in (Batch(PHOTOS), Batch(PHOTOS).select(torch.tensor([2, 0]))):
            shared = batch.normalized(first)
            assert batch.normalized(same) is shared
            assert not torch.equal(batch.normalized(other), shared)
            shared.mul_(2)
            assert torch.equal(batch.normalized(same) * 2, shared)


@torch.no_grad()
def test_a_network_that_changes_its_input_does_not_change_that_of_others() -> None:
    class InPlace(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.mul_(2).mean((2, 3))

    def make() -> Member:
        return Member.from_module(InPlace(), classes="abc", size=8, mean=0.5, std=0.5)

    both = Ensemble([make(), make()]).member_logits(PHOTOS)
    assert torch.equal(both[0], both[1])


@torch.no_grad()
def test_other_modules_get_the_images() -> None:
    class Bare(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.float().mean((2, 3))

    ensemble = Ensemble([Bare(), member(0)], names=["bare", "net"])
    torch.testing.assert_close(ensemble.member_logits(PHOTOS)[0], PHOTOS.float().mean((2, 3)))
    torch.testing.assert_close(ensemble.infer(PHOTOS), ensemble(PHOTOS))


@torch.no_grad()
@pytest.mark.parametrize("name", MODELS)
def test_a_batch_of_no_images(name: str) -> None:
    model = MODELS[name]().eval()
    for output in (model(PHOTOS[:0]), model.infer(PHOTOS[:0])):
        assert output.shape == (0, 3)
    assert model.predict(PHOTOS[:0]).shape == model.predict([]).shape == (0, 3)


def test_lazy_rows_are_computed_once() -> None:
    computed: list[int] = []

    def compute(rows: Tensor | None) -> Tensor:
        rows = torch.arange(5) if rows is None else rows
        computed.extend(rows.tolist())
        return rows[:, None].float()

    values = LazyRows(compute, 5)
    for rows in ([3, 1], [1, 4], [], [3]):
        index = torch.tensor(rows, dtype=torch.int64)
        assert values(index)[:, 0].tolist() == rows
    assert values()[:, 0].tolist() == [0, 1, 2, 3, 4]
    assert sorted(computed) == [0, 1, 2, 3, 4]


EXTREMES = [
    [[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0], [0.0, 0.0, 0.0]],
    [[0.0, -torch.inf, -torch.inf], [-torch.inf, 0.0, -torch.inf], [-torch.inf, 0.0, -torch.inf]],
    [[torch.nan] * 3, [0.0, 1.0, 2.0], [1.0, 0.0, -1.0]],
]


class Fixed(nn.Module):
    """A module whose logits for image k are those of row k."""

    def __init__(self, rows: list[list[float]], name: str) -> None:
        super().__init__()
        self.rows, self.name, self.class_names = torch.tensor(rows), name, tuple("abc")

    def forward(self, images: Tensor) -> Tensor:
        return self.rows[images[:, 0, 0, 0].long()]


@torch.no_grad()
@pytest.mark.parametrize(
    "name", ["soft_voting", "logit_averaging", "hard_voting", "cascade", "moe", "boosted"]
)
def test_lazy_and_dense_evaluation_agree_at_extremes(name: str) -> None:
    modules = [Fixed([row[k] for row in EXTREMES], f"net_{k}") for k in range(3)]
    images = torch.arange(3, dtype=torch.uint8)[:, None, None, None].expand(3, 3, 4, 4)
    model: Any
    if name == "moe":
        model = Moe(modules, "abc", "moe", View(4, 0.5, 0.5), 4, 1)
        nn.init.zeros_(model.gate.head[2].weight)
        model.gate.head[2].bias.data = torch.tensor([-100.0, 100.0, -100.0, 0, 0, 0])
    elif name == "boosted":
        model = Boosted(modules, "abc", "series", [1.0, 0.5, 0.25])
    else:
        model = Ensemble(modules, cascade(3) if name == "cascade" else name)
    dense, lazy = model.eval()(images), model.infer(images)
    torch.testing.assert_close(lazy, dense, rtol=1e-5, atol=1e-5, equal_nan=True)
    assert not dense[:2].isnan().any()
    assert bool(dense[2].isnan().any()) == (name != "moe")
