"""Models whose networks are loaded when they run: the same results, at most two in memory, damaged files."""

from __future__ import annotations

import json
import re
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from committee.errors import StoreError
from committee.models.ensemble import Ensemble
from committee.models.member import Member
from committee.models.streamed import Shelf, Streamed, shelf_of
from committee.pipeline.run import run_verb
from committee.pipeline.shared import models as stored_models
from committee.pipeline.shared.models import load_model, weights_bytes
from committee.recipe.load import load_recipe
from committee.store.layout import Store

PHOTOS = torch.randint(0, 256, (70, 1, 20, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def built(trained_with: Callable[..., Store]) -> Store:
    """A store with two members, their vote and a cascade of them."""
    recipe, methods = load_recipe(None, ["device=cpu"]), ["soft_voting", "cascade"]
    return trained_with("streamed", lambda store: run_verb("build-ensemble", recipe, store, methods=methods))


@pytest.mark.parametrize("name", ["soft_voting", "cascade", "test_vit"])
@pytest.mark.parametrize("inference", ["refit", "folds"])
def test_results_are_those_of_networks_in_memory(built: Store, name: str, inference: str) -> None:
    whole, facts = load_model(built, name, inference=inference)
    parts, same = load_model(built, name, inference=inference, stream=True)
    is_single = (name, inference) == ("test_vit", "refit")
    assert facts == same and (shelf_of(parts) is None) == is_single and shelf_of(whole) is None
    np.testing.assert_allclose(parts.predict(PHOTOS), whole.predict(PHOTOS), atol=1e-6)
    sizes = [Image.fromarray(image[0, : 20 - place].numpy()) for place, image in enumerate(PHOTOS[:5])]
    np.testing.assert_allclose(parts.predict(sizes), whole.predict(sizes), atol=1e-6)


class Loads:
    """Loads networks, and counts those that are alive."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.alive: list[weakref.ref[Any]] = []
        self.most = 0

    def of(self, name: str) -> Any:
        def load() -> Member:
            torch.manual_seed(len(name))
            net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 2))
            member = Member.from_module(net, classes=["x", "y"], size=8, channels=1, name=name).eval()
            self.done.append(name)
            self.alive.append(weakref.ref(member))
            self.most = max(self.most, sum(each() is not None for each in self.alive))
            return member

        return load


@pytest.fixture
def four() -> tuple[Ensemble, Loads]:
    loads, shelf = Loads(), Shelf(images=40, batch_size=8)
    names = ["a", "bb", "ccc", "dddd"]
    return Ensemble([Streamed(loads.of(name), shelf) for name in names], names=names).eval(), loads


def test_each_network_is_loaded_once_for_many_images(
    four: tuple[Ensemble, Loads],
) -> None:
    ensemble, loads = four
    assert loads.done == ["a", "bb", "ccc", "dddd"] and loads.most == 1
    loads.done.clear()
    ensemble.predict(PHOTOS, batch_size=8)  # 70 images, 40 together
    assert loads.done == ["a", "bb", "ccc", "dddd"] * 2 + ["a"] * (len(loads.done) - 8)
    assert loads.most <= 3  # the next one is complete before the present one is released


def test_networks_without_weight_are_loaded_once_only(four: tuple[Ensemble, Loads]) -> None:
    ensemble, loads = four
    rule = Ensemble(list(ensemble.members), weights=[1, 0, 0, 1], names=ensemble.names).eval()
    loads.done.clear()
    rule.predict(PHOTOS, batch_size=8)
    rule.predict(PHOTOS, batch_size=8)
    assert loads.done.count("bb") <= 1 and loads.done.count("ccc") == 0


def test_batches_of_networks_have_their_size(four: tuple[Ensemble, Loads]) -> None:
    ensemble, _ = four
    sizes: list[int] = []
    member = ensemble.members[0]
    found = member.shelf.get(0)
    found.network.register_forward_pre_hook(lambda _, given: sizes.append(len(given[0])))
    member.infer(PHOTOS)
    assert max(sizes) == 8 and sum(sizes) == 70


def test_a_file_that_is_damaged_while_the_model_runs_is_named(built: Store) -> None:
    module, _ = load_model(built, "soft_voting", stream=True)
    module.predict(PHOTOS[:4])
    weights = built.checkpoint("test_vit", "refit") / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 1
    weights.write_bytes(content)
    with pytest.raises(StoreError, match=re.escape(str(weights))):
        [module.predict(PHOTOS[:4]) for _ in range(3)]
    weights.unlink()
    with pytest.raises(StoreError, match=re.escape(str(weights))):
        load_model(built, "soft_voting", stream=True)


def test_the_command_line_streams_if_asked_or_if_memory_is_short(
    built: Store, cli: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, size in enumerate(((20, 30), (24, 24), (20, 30))):
        Image.fromarray(PHOTOS[place, 0, :, : size[1]].numpy()).resize(size).save(tmp_path / f"{place}.png")
    photos = [tmp_path / f"{place}.png" for place in range(3)]
    store = ["--store", built.root, "--set", "device=cpu", "--json"]
    whole = cli("predict", "soft_voting", *photos, *store)
    asked = cli("predict", "soft_voting", *photos, *store, "--stream")
    assert asked.code == whole.code == 0
    ours, theirs = (json.loads(done.out)["predictions"] for done in (asked, whole))
    assert len(ours) == 3 and [*map(str, ours)] == [*map(str, theirs)]
    assert weights_bytes(built, "soft_voting") > 10_000
    monkeypatch.setattr(stored_models, "free_memory", lambda: 10_000)
    short = cli("predict", "soft_voting", *photos, *store)
    assert "GB of memory are free: they are loaded one after the other" in short.err
    assert short.out == asked.out
    refused = cli("predict", tmp_path / "0.png", *photos, *store, "--stream")
    assert refused.code == 2 and (
        f"--stream: expected a model of the store, got the path {tmp_path / '0.png'}. "
        "An exported file is opened as a whole: leave it out." in refused.err
    )
