"""The contract of sets of views, for every entry of the family, and ensembles that predict all views."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from committee.combiners.cascade import Cascade
from committee.errors import UnknownNameError, UsageError
from committee.exporters.base import Card
from committee.exporters.onnx import Onnx
from committee.exporters.state_dict import StateDict
from committee.images.view import View
from committee.models.batch import Batch
from committee.models.composites.viewed import Viewed
from committee.models.ensemble import Ensemble, load
from committee.models.measure import parameters, size_mb
from committee.models.member import Member
from committee.models.views.base import IDENTITY, VIEWS, SingleView, distinct, invertible
from committee.models.views.d4 import D4
from committee.models.vote import TOGETHER
from committee.tasks.base import TASKS

SIZE = 16
PHOTOS = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 3, 40, 30), dtype=np.uint8))
every = pytest.mark.parametrize("name", VIEWS.names())


def canvas(fit: str = "crop") -> Tensor:
    return View(SIZE, fit=fit).whole(PHOTOS)  # type: ignore[arg-type]


@every
@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_views_are_images_of_the_size_of_the_input(name: str, fit: str) -> None:
    views = VIEWS.make(name)
    found = views(canvas(fit), SIZE)
    assert found.shape == (len(views.names), 3, 3, SIZE, SIZE) and found.dtype == torch.uint8
    assert views.names[0] == IDENTITY
    assert torch.equal(found[0], View(SIZE, fit=fit).cut(PHOTOS))  # type: ignore[arg-type]
    assert len({view.numpy().tobytes() for view in found}) == len(views.names)


@every
def test_a_view_of_a_batch_is_that_of_each_image(name: str) -> None:
    views = VIEWS.make(name)
    alone = [views(each[None], SIZE)[:, 0] for each in canvas()]
    assert torch.equal(views(canvas(), SIZE), torch.stack(alone, 1))


@every
def test_a_description_gives_the_same_view_again(name: str) -> None:
    for view in distinct([VIEWS.make(name)]).values():
        again = SingleView.from_json(json.loads(json.dumps(view.to_json())))
        assert torch.equal(again(canvas(), SIZE), view(canvas(), SIZE))


@pytest.mark.parametrize(
    ("name", "options", "others"),
    [
        ("five_crop", {"scale": 0.871}, {"scale": 0.874}),
        ("shift", {"fraction": 0.071}, {"fraction": 0.074}),
        ("multi_scale", {"scales": [0.871]}, {"scales": [0.874]}),
        ("brightness", {"factors": [0.871]}, {"factors": [0.874]}),
    ],
)
def test_views_with_other_options_have_other_names(name: str, options: object, others: object) -> None:
    found = distinct([VIEWS.make(name, **options), VIEWS.make(name, **others)])  # type: ignore[arg-type]
    assert len(found) == 2 * (len(VIEWS.make(name, **options).names) - 1)  # type: ignore[arg-type]


def test_the_elements_of_d4_are_a_group() -> None:
    views, square = D4(), canvas()
    elements = views(square, square.shape[-1])

    def index(images: Tensor) -> int:
        return next(place for place, each in enumerate(elements) if torch.equal(each, images))

    table = [[index(views.view(b, a, a.shape[-1])) for b in views.names] for a in elements]
    assert all(sorted(row) == list(range(8)) for row in [*table, *zip(*table, strict=True)])
    assert table[0] == [row[0] for row in table] == list(range(8))


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("shift", {"fraction": 0.0}, "shift.fraction: expected a number above 0 and below 1, got 0"),
        ("five_crop", {"scale": 2.0}, "five_crop.scale: expected a number above 0 and at most 1, got 2"),
        (
            "multi_scale",
            {"scales": [1]},
            "multi_scale.scales: expected numbers from 0.25 to 4 other than 1, got 1",
        ),
        (
            "brightness",
            {"factors": []},
            "brightness.factors: expected numbers above 0 and at most 10, other than 1, got none",
        ),
    ],
)
def test_options_out_of_range(name: str, options: dict[str, object], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        VIEWS.make(name, **options)
    assert str(caught.value).startswith(text)


def test_an_unknown_view_of_a_set() -> None:
    with pytest.raises(UnknownNameError, match=r"expected one of identity, rot90.*got 'rot91'"):
        SingleView(D4(), "rot91")


def member(seed: int = 0) -> Member:
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.GELU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 3)
    )
    return Member.from_module(net, classes="abc", size=SIZE, name=f"net_{seed}").eval()


def views_of(part: nn.Module) -> list[Viewed]:
    found = distinct(VIEWS.make(name) for name in VIEWS.names())
    return [Viewed([part], "abc", f"{part.name}_{name}", view).eval() for name, view in found.items()]


@torch.no_grad()
def test_a_network_and_its_views_are_one_network_that_runs_once(tmp_path: Path) -> None:
    net = member()
    ensemble = Ensemble([net, *views_of(net)], name="views").eval()
    assert list(ensemble.members) == [net] and len(ensemble.names) > 15
    assert (size_mb(ensemble), parameters(ensemble)) == (pytest.approx(size_mb(net)), parameters(net))
    calls: list[int] = []
    net.network.register_forward_pre_hook(lambda _, given: calls.append(len(given[0])))
    outputs = ensemble.member_logits(PHOTOS)
    assert (
        sum(calls) == 3 * len(ensemble.names) and max(calls) <= TOGETHER and len(calls) < len(ensemble.names)
    )
    torch.testing.assert_close(ensemble.infer(PHOTOS), ensemble(PHOTOS))
    for name, logits, one in zip(ensemble.names, outputs, [net, *views_of(net)], strict=True):
        torch.testing.assert_close(logits, one(PHOTOS), rtol=1e-5, atol=1e-6, msg=name)
    file = StateDict().export(ensemble, PHOTOS, tmp_path, Card("views", ("a", "b", "c")))
    assert file.stat().st_size < 1.5 * size_mb(net) * 1e6 + 2000


@torch.no_grad()
def test_views_of_ensembles_are_views_of_their_networks(tmp_path: Path) -> None:
    inner = Ensemble([member(0), member(1)], "logit_averaging", name="inner").eval()
    flipped = views_of(inner)[0]
    outer = Ensemble([inner, flipped], name="outer").eval()
    assert list(outer.members) == list(inner.members) and len(outer.outputs) == 4
    expected = (inner(PHOTOS).softmax(1) + flipped(PHOTOS).softmax(1)) / 2
    torch.testing.assert_close(outer(PHOTOS).exp(), expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(
        UsageError, match="test-time views: expected a model without views, got a view of another"
    ):
        Ensemble(views_of(outer)[:1])
    with pytest.raises(UsageError, match="test-time views: expected a model without views"):
        views_of(outer)[0](PHOTOS)


@torch.no_grad()
def test_a_cascade_of_views_runs_the_views_of_a_network_on_few_images() -> None:
    first, second = member(0), member(1)
    rule = Cascade().bind(["first", "second"])
    rule.set_buffers(
        order=torch.arange(2), inverse_temperature=torch.ones(2), threshold=torch.tensor([0.35, 0.0])
    )
    pools = [
        Ensemble([net, *views_of(net)[:2]], name=name) for net, name in ((first, "first"), (second, "second"))
    ]
    ensemble, calls = Ensemble(pools, rule).eval(), list[int]()
    second.network.register_forward_pre_hook(lambda _, given: calls.append(len(given[0])))
    lazy = ensemble.infer(PHOTOS)
    assert sum(calls) in (3, 6)
    torch.testing.assert_close(lazy, ensemble(PHOTOS))


@torch.no_grad()
def test_saved_weights_are_written_once_and_shared_when_loaded(tmp_path: Path) -> None:
    net = Member.build("test_resnet", classes="abc", size=32, seed=0).eval()
    ensemble = Ensemble([net, *views_of(net)[:5]], name="views").eval()
    ensemble.save(tmp_path)
    assert len(list(tmp_path.rglob("weights.safetensors"))) == 1
    again = load(tmp_path)
    assert isinstance(again, Ensemble) and len(again.members) == 1 and again.names == ensemble.names
    assert torch.equal(again(PHOTOS), ensemble(PHOTOS))
    description = json.loads((tmp_path / "ensemble.json").read_text("utf-8"))
    Ensemble([net]).save(tmp_path / "plain")
    plain = tmp_path / "plain" / "ensemble.json"
    older = json.loads(plain.read_text("utf-8"))
    del older["outputs"]  # an ensemble of an earlier version has no views
    plain.write_text(json.dumps(older), encoding="utf-8")
    torch.testing.assert_close(load(tmp_path / "plain")(PHOTOS).exp(), net(PHOTOS).softmax(1))
    assert description["outputs"][1]["view"]["views"] == VIEWS.names()[0]


@torch.no_grad()
@pytest.mark.slow
def test_an_exported_ensemble_of_all_views_has_the_weights_once(tmp_path: Path) -> None:
    net = member()
    ensemble = Ensemble([net, *views_of(net)], name="views").eval()
    file = Onnx().export(ensemble, PHOTOS[:2], tmp_path, Card("views", ("a", "b", "c")))
    import onnx

    sizes = [np.prod(each.dims) for each in onnx.load(file).graph.initializer if each.data_type == 1]
    assert sum(sizes) < 2 * parameters(net)
    opened = Onnx().open(file)
    for shape in ((1, 40, 30), (3, 24, 51), (2, 16, 16)):
        count, height, width = shape
        images = torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8)
        np.testing.assert_allclose(opened(images.numpy()), ensemble(images).exp(), atol=1e-5)


def test_a_model_that_takes_no_uint8_images_has_no_views() -> None:
    with pytest.raises(UsageError, match="expected a model that preprocesses uint8 images by itself"):
        Batch(PHOTOS).under([SingleView(D4(), "rot90")]).run(nn.Flatten())


MAPS = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (2, 3, 37, 52), dtype=np.uint8))
"""Images that are not square."""


def views_of_maps() -> list[SingleView]:
    return list(distinct(VIEWS.make(name) for name in invertible()).values())


def test_views_of_maps_are_named() -> None:
    assert invertible() == ("brightness", "d4", "hflip", "multi_scale", "shift")


@pytest.mark.parametrize("view", views_of_maps(), ids=lambda view: view.name)
def test_the_inverse_of_a_view_gives_maps_of_the_image(view: SingleView) -> None:
    """Exactly where pixels only move; positions that are resized and back are those of the image."""
    yes = torch.stack(torch.meshgrid(torch.arange(37) * 5, torch.arange(52) * 4, indexing="ij"))
    seen = view(yes[None].to(torch.uint8), 0)
    found = view.inverse(seen.float(), (37, 52))
    assert found.shape == (1, 2, 37, 52)
    if view.name.startswith("brightness"):
        assert torch.equal(found, seen.float())
    elif view.name.startswith("scale"):
        assert seen.shape[2:] == tuple(int(side * float(view.name[6:])) for side in (37, 52))
        assert (found - yes).abs().max() < 6
    else:
        assert torch.equal(found[0], yes.float())


def test_views_without_an_inverse_are_refused_for_maps_by_name() -> None:
    view = SingleView(VIEWS.make("five_crop"), "top_left_0.869565")
    text = (
        "views 'five_crop' of maps: expected views that show the whole image: brightness, d4, hflip, "
        "multi_scale, shift, got 'top_left_0.869565', whose maps cannot be transformed back."
    )
    with pytest.raises(UsageError) as caught:
        Viewed([Pixels()], "ab", "corner", view)
    assert str(caught.value) == text
    with pytest.raises(UsageError, match="views 'five_crop' of maps"):
        view.inverse(torch.zeros(1, 2, 8, 8), (8, 8))


class Pixels(nn.Module):
    """A network of maps with a view of its own: each pixel, and the one to its left."""

    takes_batches = True

    def __init__(self) -> None:
        super().__init__()
        self.name, self.class_names, self.task = "pixels", ("a", "b"), TASKS.make("segmentation")
        self.view = View(16, fit="native")
        self.net = nn.Conv2d(3, 2, (1, 3), padding=(0, 1))

    def forward(self, images: Tensor | Batch) -> Tensor:
        return self.net(Batch.of(images).normalized(self.view))


@torch.no_grad()
def test_a_network_of_maps_under_views_gives_the_maps_of_the_same_by_hand() -> None:
    net = Pixels().eval()
    by_hand = {
        "hflip": net(MAPS.flip(3)).flip(3),
        "rot90": net(MAPS.rot90(1, (2, 3))).rot90(-1, (2, 3)),
        "transpose": net(MAPS.mT).mT,
        "down_0.05": net(MAPS.roll(1, 2)).roll(-1, 2),
        "right_0.05": net(MAPS.roll(2, 3)).roll(-2, 3),
    }
    views = {view.name: Viewed([net], "ab", view.name, view) for view in views_of_maps()}
    for name, expected in by_hand.items():
        assert torch.equal(views[name](MAPS), expected) and torch.equal(views[name].infer(MAPS), expected)
    assert all(view(MAPS).shape == (2, 2, 37, 52) for view in views.values())


@torch.no_grad()
@pytest.mark.slow
def test_views_of_maps_are_exported_for_images_of_any_size(tmp_path: Path) -> None:
    net = Member.from_module(nn.Conv2d(3, 2, 3, padding=1), classes="ab", size=SIZE, task="segmentation")
    views = distinct([VIEWS.make("shift"), VIEWS.make("multi_scale")])
    viewed = [Viewed([net], "ab", name, view) for name, view in views.items()]
    ensemble = Ensemble([net, *viewed], name="views").eval()
    file = Onnx().export(ensemble, PHOTOS[:2], tmp_path, Card.of(ensemble, "views"))
    import onnxruntime

    found = onnxruntime.InferenceSession(str(file)).run(None, {"images": MAPS.numpy()})[0]
    np.testing.assert_allclose(found, ensemble(MAPS).exp(), atol=1e-5)
