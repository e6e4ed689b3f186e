"""Every engine returns what the module returns, for any number of images, and leaves the module as it is."""

from __future__ import annotations

import copy
import functools
import importlib.util
import math
import re
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch._inductor import cpp_builder

from committee.base.shared_work import shared_work
from committee.engines import onnxruntime
from committee.engines.base import ENGINES, Engine, infer_of
from committee.engines.shared import parts
from committee.errors import UsageError
from committee.exporters.shared import graph_file
from committee.models.ensemble import Ensemble
from committee.models.member import Member
from committee.tasks.base import task_of_model

pytestmark = pytest.mark.slow

ENGINE_NAMES = ENGINES.names()
TOLERANCE = 1e-5


def convnet(outputs: int, *, maps: bool = False) -> nn.Module:
    """A small network with a normalization that is not the identity."""
    head = (
        [nn.Conv2d(6, outputs, 1)] if maps else [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, outputs)]
    )
    net = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), *head)
    for tensor in net.state_dict().values():
        if tensor.is_floating_point() and tensor.ndim == 1:
            tensor.copy_(torch.rand_like(tensor) + 0.5)
    return net


def member(seed: int, **options: object) -> Member:
    torch.manual_seed(seed)
    outputs = 3 if "classes" in options else 1
    net = convnet(outputs, maps=options.get("task") in ("segmentation", "dense_regression"))
    return Member.from_module(net, size=8, name=f"net{seed}", **options).eval()  # type: ignore[arg-type]


def modules() -> dict[str, nn.Module]:
    """A model of each kind: classes, a single network, numbers, and maps."""
    classes = {"classes": ["ant", "bee", "cat"]}
    maps = [member(seed, task="segmentation", **classes) for seed in (0, 1)]
    return {
        "classes": Ensemble([member(seed, **classes) for seed in (0, 1, 2)]).eval(),
        "member": member(3, **classes),
        "numbers": Ensemble([member(seed, targets=["age"]) for seed in (0, 1)], "median").eval(),
        "maps": Ensemble(maps).eval(),
    }


MODULES = modules()


def images(count: int, seed: int = 0, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, channels, 12, 10), dtype=torch.uint8, generator=generator)


@pytest.fixture(autouse=True, scope="module")
def _graphs() -> Iterator[None]:
    """Record the graph of each module once for all tests."""
    with shared_work():
        yield


@pytest.fixture(autouse=True)
def _no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have `torch.compile` record programs and not compile them, which takes half a minute."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))


def ready(name: str, module: nn.Module, precision: str = "fp32") -> Engine:
    """The engine, unless it cannot run the module on this machine."""
    engine = ENGINES.make(name, precision=precision)
    if reason := engine.missing(module, images(4)):
        pytest.skip(reason)
    return engine


@pytest.mark.parametrize("kind", MODULES)
@pytest.mark.parametrize("name", ENGINE_NAMES)
@torch.inference_mode()
def test_an_engine_returns_what_the_module_returns(name: str, kind: str) -> None:
    module = MODULES[kind]
    before, task = copy.deepcopy(module.state_dict()), task_of_model(module)
    run = ready(name, module).prepare(module, images(4))
    for count in (4, 1, 3, 7):
        batch = images(count, seed=count)
        expected, found = infer_of(module)(batch), run(batch)
        assert found.dtype == torch.float32
        assert found.device == batch.device
        torch.testing.assert_close(task.link(found), task.link(expected), atol=TOLERANCE, rtol=TOLERANCE)
    assert not module.training
    for key, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[key]), key
        assert tensor.stride() == before[key].stride(), key


@pytest.mark.parametrize(
    ("name", "precision"),
    [(name, each) for name in ENGINE_NAMES for each in ENGINES.load(name).precisions if each != "fp32"],
)
@torch.inference_mode()
def test_lower_precision_costs_little(name: str, precision: str) -> None:
    module, batch = MODULES["classes"], images(5, seed=1)
    found = ready(name, module, precision).prepare(module, images(4))(batch)
    difference = (found.exp() - infer_of(module)(batch).exp()).abs().max()
    assert 0 < difference < 0.02
    assert found.dtype == torch.float32


@pytest.mark.parametrize("name", ENGINE_NAMES)
def test_images_of_another_number_of_channels_are_refused(name: str) -> None:
    module = MODULES["classes"]
    engine = ready(name, module)
    with pytest.raises(Exception, match=r"\S"), torch.inference_mode():
        engine.prepare(module, images(4))(images(4, channels=2))


@torch.inference_mode()
def test_runtimes_share_a_graph_and_compute_parts_of_a_batch_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recorded: list[int] = []
    record = graph_file._recorded
    monkeypatch.setattr(graph_file, "_recorded", lambda *given: recorded.append(1) or record(*given))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(onnxruntime, "SMALL", 0.0)
    monkeypatch.setattr(parts, "CLEAR", math.inf)
    module = member(4, classes=["ant", "bee", "cat"])
    runs = [ready(name, module).prepare(module, images(4)) for name in ("onnxruntime", "openvino")]
    assert recorded == [1]
    for count in (1, 3, 4, 7):
        batch = images(count, seed=count)
        for run in runs:
            torch.testing.assert_close(run(batch), module(batch), atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.parametrize("name", ENGINE_NAMES)
def test_why_an_engine_cannot_run_is_a_clause(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *_: None)
    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", lambda: 1 / 0)
    engines = [ENGINES.make(name, precision=each) for each in ENGINES.load(name).precisions]
    shown = {
        engine.missing(module, example)
        for engine in engines
        for module in MODULES.values()
        for example in (images(4), images(4).to("meta"))
    }
    for text in shown - {""}:
        assert re.match(r"(the|it|no|fp16|torch\.compile)\b.* (is|are|has|have|needs|runs)\b", text), text
        assert "\n" not in text
        assert not text.endswith(".")


@pytest.mark.parametrize("name", ENGINE_NAMES)
def test_a_precision_that_an_engine_lacks_is_named(name: str) -> None:
    with pytest.raises(UsageError, match=f"^engine {name}: precision: expected one of fp32.*, got 'fp8'"):
        ENGINES.make(name, precision="fp8")
