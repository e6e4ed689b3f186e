"""The contract of composites, tested for every entry of the family."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from committee.errors import StoreError, UsageError
from committee.exporters.base import Card
from committee.exporters.checkpoint import Checkpoint
from committee.images.view import View
from committee.models.composites.base import COMPOSITES, Composite
from committee.models.composites.boosted import Boosted
from committee.models.composites.fusion import Fusion
from committee.models.composites.moe import Moe
from committee.models.descriptions import provenance_of
from committee.models.ensemble import Ensemble, load, views_of
from committee.models.fusions.base import FUSIONS
from committee.models.member import Member

PHOTOS = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (9, 3, 40, 30), dtype=np.uint8))


def members(classes: str = "abc") -> list[Member]:
    names = ("test_resnet", "test_vit", "test_efficientnet")
    made = [Member.build(n, classes=classes, size=32, seed=k).eval() for k, n in enumerate(names)]
    for member in made:
        for parameter in member.network.head_parameters():
            parameter.data.mul_(20)
    return made


def boosted() -> Composite:
    return Boosted(members(), "abc", "series", [0.5, 2.0, 1.0])


def fusion() -> Composite:
    parts = members()
    torch.manual_seed(0)
    head = FUSIONS.make("attention", sizes=[p.network.embedding_size for p in parts], classes=3)
    return Fusion(parts, "abc", "fused", head, "attention")


def moe() -> Composite:
    torch.manual_seed(0)
    made = Moe(members(), "abc", "mixture", View(16, 0.5, 0.25), 8, 2)
    for parameter in made.gate.parameters():
        parameter.data.mul_(3)
    return made


MAKE: dict[str, Callable[[], Composite]] = {"boosted": boosted, "moe": moe, "fusion": fusion}


def test_every_composite_is_tested() -> None:
    """A composite that is not made here has a test file of its own."""
    here = Path(__file__).parent
    assert all(name in MAKE or (here / f"test_{name}.py").is_file() for name in COMPOSITES.names())


@pytest.fixture(params=[name for name in COMPOSITES.names() if name in MAKE])
def composite(request: pytest.FixtureRequest) -> Composite:
    made = MAKE[request.param]().eval()
    made.provenance = {"epochs": 3}
    return made


@torch.no_grad()
def test_it_gives_logits_and_infer_the_same(composite: Composite) -> None:
    logits = composite(PHOTOS)
    assert logits.shape == (9, 3) and bool(logits.isfinite().all())
    torch.testing.assert_close(composite.infer(PHOTOS), logits, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(composite.predict(PHOTOS).sum(1), 1, rtol=1e-5)


@torch.no_grad()
def test_what_was_saved_is_read_again(composite: Composite, tmp_path: Path) -> None:
    composite.save(tmp_path)
    again = load(tmp_path)
    assert type(again) is type(composite) and again.provenance == {"epochs": 3} == provenance_of(tmp_path)
    assert (again.name, again.class_names) == (composite.name, composite.class_names)
    assert torch.equal(again(PHOTOS), composite(PHOTOS))
    assert [view.size for view in views_of(tmp_path)] == [32, 32, 32]


@torch.no_grad()
def test_it_is_a_member_of_ensembles(composite: Composite, tmp_path: Path) -> None:
    other = members()[0]
    ensemble = Ensemble([composite, other], names=["one", "other"]).eval()
    expected = (composite(PHOTOS).softmax(1) + other(PHOTOS).softmax(1)) / 2
    torch.testing.assert_close(ensemble.infer(PHOTOS).exp(), expected, rtol=1e-5, atol=1e-6)
    ensemble.save(tmp_path)
    torch.testing.assert_close(load(tmp_path)(PHOTOS).exp(), expected, rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_it_is_exported_as_a_checkpoint(composite: Composite, tmp_path: Path) -> None:
    exporter = Checkpoint()
    file = exporter.export(composite, PHOTOS, tmp_path, Card(composite.name, composite.class_names))
    predictor = exporter.load(file, composite)
    np.testing.assert_allclose(predictor(PHOTOS.numpy()), composite.predict(PHOTOS), rtol=1e-5, atol=1e-6)


def test_damaged_weights_are_named(composite: Composite, tmp_path: Path) -> None:
    composite.save(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"nonsense")
    with pytest.raises(StoreError, match=f"expected the weights of {composite.name}"):
        load(tmp_path)


def test_weights_of_another_shape_are_named(composite: Composite, tmp_path: Path) -> None:
    composite.save(tmp_path)
    file = tmp_path / "composite.json"
    description = json.loads(file.read_text(encoding="utf-8"))
    description["parts"] = description["parts"][:2]
    if "sizes" in description["options"]:
        description["options"]["sizes"] = description["options"]["sizes"][:2]
    file.write_text(json.dumps(description), encoding="utf-8")
    with pytest.raises(StoreError, match="the weights of"):
        load(tmp_path)


def test_bare_modules_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="series: expected members with a save method, got Identity"):
        Boosted([nn.Identity()], "ab", "series").save(tmp_path)
