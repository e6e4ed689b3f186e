"""Formats beyond their contract: the reasons of failures, and batches of fixed size."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from committee.errors import DependencyError, ExportError, StoreError, UsageError
from committee.exporters._card import card_text, read_card
from committee.exporters._constants import fold_constants
from committee.exporters._program import record_program
from committee.exporters._resized import FromResized, resized_predictor
from committee.exporters.base import EXPORTERS, Card
from committee.exporters.checkpoint import Checkpoint
from committee.exporters.torch_export import TorchExport
from committee.models.ensemble import Ensemble
from committee.models.member import Member
from committee.models.predictor import ModulePredictor
from committee.pipeline.shared.package import package
from committee.pipeline.shared.parity import check_parity, several_sizes

CARD = Card("pair", ("a", "b"))
IMAGES = torch.zeros(2, 3, 20, 30, dtype=torch.uint8)


def member(name: str, size: int, seed: int) -> Member:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 2))
    return Member.from_module(net, classes=CARD.class_names, size=size, name=name).eval()


class Branching(nn.Module):
    """A head whose branch depends on values."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        means = images.float().mean((1, 2, 3))
        return torch.stack([means, means + (1 if means.sum() > 3 else 2)], 1)


class Model(nn.Module):
    """A model with such a head."""

    def __init__(self) -> None:
        super().__init__()
        self.head = Branching()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(images)


def test_the_part_that_cannot_be_recorded_is_named(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    with pytest.raises(ExportError) as caught:
        TorchExport().export(Model(), IMAGES, tmp_path, CARD)
    said = str(caught.value)
    assert not any(capfd.readouterr())
    assert said.startswith("torch_export of pair: expected a module that torch.export can record, got ")
    assert said.endswith(
        "(in head: Branching). Rewrite this part without branches on values of tensors, leave the format out "
        "of exports.formats, or name the backbone in backbones.exclude."
    )


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_batches_of_any_size_are_divided_and_filled(photos: Any, batch: int, tmp_path: Path) -> None:
    model = Ensemble([member("first", 16, 0), member("second", 8, 1)], "soft_voting", name="pair").eval()
    program = FromResized(model, "program of pair")

    def call(parts: list[torch.Tensor]) -> torch.Tensor:
        assert [tuple(part.shape) for part in parts] == [(batch, 3, 16, 16), (batch, 3, 8, 8)]
        return program(*parts)

    card = read_card(card_text(CARD, 3, batch=batch, fixed=True, inputs=program.facts()), tmp_path)
    opened = resized_predictor(tmp_path, card, call)
    batches = [*several_sizes(list(photos)), photos[[0, 1, 2, 0, 1]]]
    check_parity(ModulePredictor(model, "pair", CARD.class_names), opened, batches, "program")
    assert opened(photos[:0]).shape == (0, 2)


def test_members_may_share_a_network() -> None:
    first = member("first", 16, 0)
    second = Member.from_module(first.network.net, classes=CARD.class_names, size=8, name="second").eval()
    program = FromResized(Ensemble([first, second], "soft_voting", name="pair"), "program of pair")
    recorded = record_program(program, program.examples(1), None, "program of pair")
    inputs = [torch.randint(0, 256, each.shape, dtype=torch.uint8) for each in program.examples(1)]
    torch.testing.assert_close(recorded.module()(*inputs), program(*inputs))


def test_a_module_without_preprocessing_has_no_fixed_size() -> None:
    with pytest.raises(ExportError) as caught:
        FromResized(Model(), "executorch of net")
    assert str(caught.value) == (
        "executorch of net: expected a Member, an Ensemble or a Composite, got Model. "
        "Wrap it with Member.from_module."
    )


@pytest.mark.parametrize(
    ("name", "module", "todo"),
    [
        ("openvino", "openvino", "Install it with: pip install 'committee[openvino]'"),
        ("executorch", "executorch.runtime", "Install it with: pip install 'committee[executorch]'"),
        ("tensorrt", "tensorrt", "Install it on a machine with an NVIDIA GPU, with: pip install tensorrt"),
    ],
)
def test_a_missing_package_is_the_reason_and_other_formats_are_written(
    name: str, module: str, todo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    batches = [IMAGES.numpy()]
    status = package(member("first", 8, 0), CARD, tmp_path / "out", [name, "state_dict"], batches)["formats"]
    assert status[name] == {
        "format": name,
        "options": {},
        "status": "missing",
        "reason": f"the format {name}: expected the package '{name}', got none installed. {todo}",
    }
    assert status["state_dict"]["status"] == "done"


def test_a_program_for_cuda_without_cuda_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    wanted = "aotinductor:device=cuda"
    status = package(member("first", 8, 0), CARD, tmp_path / "out", [wanted], [IMAGES.numpy()])["formats"]
    assert status["aotinductor_cuda"]["status"] == "missing"
    assert status["aotinductor_cuda"]["reason"] == (
        "the format aotinductor with device=cuda: expected CUDA, got none."
    )


@pytest.mark.slow
def test_values_that_depend_on_weights_alone_are_stored_in_the_program() -> None:
    """The bicubic resizing of position embeddings has no counterpart in TFLite."""
    model = FromResized(Member.build("timm:test_vit", classes=CARD.class_names, size=32, seed=0), "vit")
    inputs = model.examples(2)
    program = record_program(model, inputs, None, "vit")
    folded = fold_constants(program, inputs, "vit")
    before, after = ({str(node.target) for node in each.graph.nodes} for each in (program, folded))
    assert {name for name in before if "bicubic" in name}
    assert not {name for name in after if "bicubic" in name}
    images = torch.randint(0, 256, inputs[0].shape, dtype=torch.uint8)
    assert torch.equal(folded.module()(images), model(images))


def test_a_missing_compiler_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch._inductor.cpp_builder as builder

    def fail() -> str:
        raise RuntimeError("No working C++ compiler found")

    monkeypatch.setattr(builder, "get_cpp_compiler", fail)
    with pytest.raises(DependencyError) as caught:
        EXPORTERS.make("aotinductor").export(member("first", 8, 0), IMAGES, tmp_path, CARD)
    assert str(caught.value) == (
        "aotinductor of pair: expected a C++ compiler (g++ or clang++), got none. "
        "Install one, such as: apt install g++, or name it in the environment variable CXX."
    )


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(self: Checkpoint, module: nn.Module, example: Any, folder: Path, card: Card) -> Path:
        (folder / "weights.part").write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Checkpoint, "export", half)
    folder = tmp_path / "out"
    batches = [np.zeros((2, 3, 9, 9), np.uint8)]
    status = package(member("first", 8, 0), CARD, folder, ["checkpoint", "state_dict"], batches)["formats"]
    assert status["checkpoint"]["status"] == "failed"
    assert "expected more disk space, got no space left on device" in status["checkpoint"]["reason"]
    assert status["state_dict"]["status"] == "done"
    names = {"state_dict", "metadata.json", "class_mapping.json", "export_status.json", "checksums.json"}
    assert {path.name for path in folder.iterdir()} == names


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
@pytest.mark.parametrize("name", ["torchscript", "torch_export"])
def test_a_full_disk_is_an_error_and_does_not_end_the_process(tmp_path: Path, name: str) -> None:
    exporter = EXPORTERS.make(name)
    (tmp_path / f"model{exporter.suffix}").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device"):
        exporter.export(member("first", 8, 0), IMAGES, tmp_path, CARD)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("custom", {"function": "nets"}, "function: expected package.module:function, got 'nets'."),
        ("executorch", {"batch": 0}, "batch: expected a whole number of at least 1, got 0."),
        ("executorch", {"backend": "gpu"}, "backend: expected one of xnnpack, portable, got 'gpu'."),
        ("openvino", {"precision": "int4"}, "precision: expected one of float32, float16, got 'int4'."),
        ("tensorrt", {"precision": "int4"}, "precision: expected one of float32, float16, got 'int4'."),
        ("aotinductor", {"device": "tpu"}, "device: expected cpu or cuda, got 'tpu'."),
    ],
)
def test_an_invalid_option_is_named(name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        EXPORTERS.make(name, **options)
    assert str(caught.value) == said


def test_a_function_of_the_user_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        EXPORTERS.make("custom", function="no_such_module:write").export(Model(), IMAGES, tmp_path, CARD)
    assert str(caught.value) == (
        "no_such_module:open_model: expected a function that can be imported, got No module named "
        "'no_such_module'. Install its package, or add its folder to PYTHONPATH."
    )


def test_a_card_without_inputs_is_damaged(tmp_path: Path) -> None:
    card = read_card(card_text(CARD, 3, batch=1, fixed=True), tmp_path / "card.json")
    with pytest.raises(StoreError, match=r"model.pte: expected the inputs of an exported file, got invalid"):
        resized_predictor(tmp_path / "model.pte", card, lambda parts: parts[0])
