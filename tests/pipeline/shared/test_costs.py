"""Costs of models: parts are timed alone, and their times are added call by call."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from committee.combiners.base import build
from committee.combiners.cascade import Cascade
from committee.combiners.pruned import Pruned
from committee.errors import ExportError, StoreError
from committee.images.dataset import open_dataset
from committee.models.batch import Batch
from committee.models.measure import parameters, size_mb
from committee.models.timing import interleaved
from committee.pipeline.shared import costs, network_files
from committee.pipeline.shared.costs import Costs
from committee.pipeline.shared.models import load_model
from committee.pipeline.shared.photo import Photo, photo_of
from committee.predictions.simulation import simulate
from committee.pruning.shared.subsets import Budgets, latency
from committee.recipe.dataset import Dataset as Settings
from committee.store.layout import Store

BOTH = {"test_resnet": "refit", "test_vit": "folds"}


@pytest.fixture(autouse=True)
def _repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure as often as for users."""
    monkeypatch.setattr(costs, "AGAIN", 3)
    monkeypatch.setattr(costs, "interleaved", interleaved)


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The modules that were timed; the k-th call of each takes k hundredths of a millisecond more than 10."""
    modules: list[nn.Module] = []

    def call_times(module: nn.Module, batch: torch.Tensor | Batch, warmup: int = 3) -> np.ndarray:
        modules.append(module)
        output = module(batch)
        assert output.shape[-2:] in ((2, 10), (32, 32))
        return 10.0 + np.arange(20) / 100

    monkeypatch.setattr(costs, "call_times", call_times)
    return modules


def make(store: Store) -> Costs:
    return Costs(store, 2, torch.device("cpu"), ())


def test_an_ensemble_is_the_sum_of_its_parts(trained: Store, timed: list[nn.Module]) -> None:
    combiner = build("soft_voting").bind(list(BOTH))
    found = make(trained).of(BOTH, combiner)
    # One refit network, three fold networks with their mean, and the combiner; all networks share the
    # resizing of two images, which is timed for a photo and for an image of the size of the networks.
    assert len(timed) == 6 + 2
    times = {
        "median": pytest.approx((6 + 2) * 10.095),
        "p95": pytest.approx((6 + 2) * np.percentile(10 + np.arange(20) / 100, 95)),
        "resizing": {"32 px crop": pytest.approx(2 * 10.095)},
    }
    assert found["latency_ms"] == {
        **times,
        "image": [1, 8, 8],
        "image_of": "the median size of the images of the data set",
        "network_sized": {**times, "image": [1, 37, 37]},
        "batch": 2,
        "networks": 4,
        "device": "cpu",
        "threads": 1,
        "runtime": "torch",
        "spread": 0.007,
        "steady": True,
    }
    whole = [load_model(trained, name, inference=inference)[0] for name, inference in BOTH.items()]
    assert found["parameters"] == sum(map(parameters, whole))
    assert found["size_mb"] == pytest.approx(sum(map(size_mb, whole)))


def test_a_network_is_timed_once(trained: Store, timed: list[nn.Module]) -> None:
    found = make(trained)
    alone = [found.of({name: "refit"}) for name in BOTH]
    together = found.of(dict.fromkeys(BOTH, "refit"), build("soft_voting"))
    assert len(timed) == 3 + 2
    assert together["size_mb"] == pytest.approx(sum(each["size_mb"] for each in alone))


def test_one_network_is_in_memory_at_a_time(trained: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[weakref.ref[nn.Module]] = []

    def call_times(module: nn.Module, batch: torch.Tensor | Batch, warmup: int = 3) -> np.ndarray:
        gc.collect()
        assert not any(isinstance(each(), nn.Module) for each in alive)
        alive.append(weakref.ref(module))
        return np.ones(1)

    monkeypatch.setattr(costs, "call_times", call_times)
    make(trained).of(BOTH)
    assert len(alive) == 5 + 2


def test_parts_whose_calls_differ_are_timed_again(trained: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[nn.Module] = []

    def call_times(module: nn.Module, batch: torch.Tensor | Batch, warmup: int = 3) -> np.ndarray:
        calls.append(module)
        return np.repeat([18.0, 27.0], 10) if len(calls) < 3 else np.full(20, 18.0)

    monkeypatch.setattr(costs, "call_times", call_times)
    found = make(trained).of({"test_resnet": "refit"})["latency_ms"]
    assert len(calls) == costs.AGAIN + 2 and not found["steady"] and found["spread"] > 0.1


def test_networks_are_timed_as_files_in_turns(trained: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Photos take 5 ms more than images of the size of the network, whose times grow from call to call."""
    order: list[str] = []

    def measure_file(path: Path, device: str, batches: dict[str, list[np.ndarray]]) -> dict[str, np.ndarray]:
        order.append(path.name)
        ms = {"test_resnet": 10.0, "test_vit": 20.0}[path.name] + (9 if order == ["test_resnet"] else 0)
        assert [batches[kind][0].shape for kind in ("sized", "one", "photo")] == [
            (2, 1, 37, 37),
            (1, 1, 37, 37),
            (1, 1, 8, 8),
        ]
        return {kind: np.full(4, ms + (5 if kind == "photo" else 0)) for kind in batches}

    monkeypatch.setattr(costs, "measure_file", measure_file)
    monkeypatch.setattr(costs, "network_file", lambda store, folder, trusted: Path(folder.parts[-2]))
    clock = Costs(trained, 2, torch.device("cpu"), (), files=True)
    clock.measure([{"test_resnet": "refit"}, {"test_vit": "refit"}, dict.fromkeys(BOTH, "refit")])
    # The first round of one network was disturbed, so that it is repeated.
    assert order == ["test_resnet", "test_vit"] * 3 + ["test_resnet"] * 2
    latency = clock.of(dict.fromkeys(BOTH, "refit"))["latency_ms"]
    assert (latency["median"], latency["network_sized"]["median"]) == (40.0, 30.0)
    assert latency["resizing"] == {"32 px crop": 10.0}
    assert (latency["runtime"], latency["steady"]) == ("onnxruntime", True)


def test_files_are_exported_once_and_timed(trained: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    first = Costs(trained, 1, torch.device("cpu"), (), files=True).of({"test_resnet": "refit"})["latency_ms"]
    assert first["runtime"] == "onnxruntime" and 0 < first["median"] < 1000
    made = list(trained.root.glob("cache/onnx_*/model.onnx"))
    assert len(made) == 1
    folder = trained.checkpoint("test_resnet", "refit")
    content = made[0].read_bytes()
    made[0].write_bytes(content[:-9])  # a damaged file is written again
    assert network_files.network_file(trained, folder, ()) == made[0] and made[0].read_bytes() == content
    monkeypatch.setattr(network_files, "load_network", None)  # nothing is exported again
    assert network_files.network_file(trained, folder, ()) == made[0]


def test_torch_runs_only_what_cannot_be_exported(
    trained: Store, monkeypatch: pytest.MonkeyPatch, timed: list[nn.Module], caplog: pytest.LogCaptureFixture
) -> None:
    def network_file(store: Store, folder: Path, trusted: object) -> Path:
        if folder.parts[-2] == "test_vit":
            raise ExportError("onnx of test_vit", expected="a module", got="another")
        return Path(folder.parts[-1])

    def measure_file(path: Path, device: str, batches: dict[str, list[np.ndarray]]) -> dict[str, np.ndarray]:
        if path.name == "fold_0":
            raise StoreError("fold_0", expected="a complete ONNX file", got="a damaged one")
        return {kind: np.full(4, 5.0 if kind == "photo" else 4.0) for kind in batches}

    monkeypatch.setattr(costs, "network_file", network_file)
    monkeypatch.setattr(costs, "measure_file", measure_file)
    clock = Costs(trained, 2, torch.device("cpu"), (), files=True)
    found = clock.of({"test_vit": "refit"})["latency_ms"]
    assert (found["runtime"], found["in_torch"]) == ("torch", ["test_vit/refit"])
    # Two images are resized in torch: no file has this view yet.
    assert found["median"] == pytest.approx(10.095 + 2 * 10.095)
    name = (
        "The latency of test_vit/refit is that of torch, since its file cannot be timed: onnx of test_vit: "
    )
    assert name in caplog.text
    clock = Costs(trained, 2, torch.device("cpu"), (), files=True)
    found = clock.of({"test_resnet": "folds", "test_vit": "refit"})["latency_ms"]
    assert (found["runtime"], found["in_torch"]) == ("onnxruntime", ["test_resnet/fold_0", "test_vit/refit"])
    # Two files, two networks and the mean of the folds in torch, and the resizing of two photos.
    assert found["median"] == pytest.approx(2 * 4 + 3 * 10.095 + 2 * 1)
    monkeypatch.setattr(network_files, "NEEDED", ("no_such_package",))
    assert Costs(trained, 1, torch.device("cpu"), (), files=True).runtime == "torch"
    assert "Install it with: pip install 'committee[onnx]'" in caplog.text


def test_a_cascade_costs_what_its_networks_cost_in_expectation(
    trained: Store, timed: list[nn.Module]
) -> None:
    combiner, used = build("soft_voting").bind(list(BOTH)), {"test_resnet": 1.0, "test_vit": 0.25}
    every, lazy = (make(trained).of(BOTH, combiner, each)["latency_ms"] for each in (None, used))
    # Three fold networks of the second member run for a quarter of the images.
    assert every["median"] - lazy["median"] == pytest.approx(0.75 * 3 * 10.095)
    assert lazy["p95"] == every["p95"] and "expected" not in every
    assert lazy["expected"].startswith("median: each network times the share of the images that need it")


def test_a_photo_has_the_median_size_of_the_images(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for label, blue in (("cat", 0), ("dog", 200)):
        (photos / label).mkdir(parents=True)
        for width in (30, 10, 50, 40, 20):
            Image.new("RGB", (width, 2 * width), (width, width, blue)).save(photos / label / f"{width}.png")
    store = Store(tmp_path / "store")
    open_dataset(Settings(path=str(photos)), store, img_sizes=[8], folds=0, seed=0)
    photo = photo_of(store)
    assert (photo.height, photo.width) == (60, 30)
    photos.rename(tmp_path / "moved")
    assert photo_of(store) == Photo(3000, 4000, "a photo of 12 megapixels")


def test_latency_of_members_that_share_the_resizing() -> None:
    """The resizing of photos counts once in budgets and in the costs of the stages of a cascade."""
    members = {"a": (30.0, {"x": 20.0}), "b": (25.0, {"x": 20.0}), "c": (60.0, {"x": 20.0, "y": 30.0})}
    known = {
        name: {"latency_ms": ms, "resizing_ms": of, "size_mb": 1.0} for name, (ms, of) in members.items()
    }
    assert latency(known, ["a", "b"]) == 20 + 10 + 5
    assert Budgets(known, {}).of(["a", "b", "c"]) == {"latency_ms": 20 + 30 + 10 + 5 + 10, "size_mb": 3.0}
    assert Budgets(known, {"latency_ms": 36}).meets(["a", "b"])
    rows = simulate({"a": 2.0, "b": 3.0, "c": 4.0})
    fitted = Cascade(costs=known, members=["b", "a", "c"]).fit(rows)
    assert fitted.notes()["fit"]["full_cost"] == 75
    assert (
        Pruned(max_latency_ms=36, target_size=2, costs=known).fit(rows).notes()["chosen"]["latency_ms"] == 35
    )
