"""The ONNX file of a module, which predicts what the module predicts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from committee.errors import DeviceError, ExportError, StoreError
from committee.exporters import _onnx_graph
from committee.exporters._onnx_file import OnnxPredictor
from committee.exporters.base import Card, canvases_in
from committee.exporters.onnx import Onnx
from committee.images.canvas_of import canvas_of
from committee.models.member import Member
from committee.models.predictor import ModulePredictor
from committee.pipeline.shared.parity import check_parity, several_sizes

pytestmark = pytest.mark.slow

CARD = Card("vote", ("ant", "bee", "été", "no"), {"kind": "ensemble", "inference": "refit"})


@pytest.fixture(scope="module")
def file(tmp_path_factory, vote, photos) -> Path:
    return Onnx().export(vote, torch.from_numpy(photos), tmp_path_factory.mktemp("onnx"), CARD)


def test_parity_at_every_size_and_batch(file, vote, photos):
    batches = [*several_sizes(photos), photos[:1, :, :31, :47], photos[:, :, :64, :64], photos[[0] * 9]]
    reference = ModulePredictor(vote, "vote", CARD.class_names)
    parity = check_parity(reference, OnnxPredictor(file), batches, "onnx of vote")
    assert 0 < parity["max_abs_diff"] < 1e-6
    spread = np.concatenate([reference(images) for images in batches])
    assert spread.std(0).max() > 1e-3, "the test cannot fail if all images have the same probabilities"


def test_the_file_contains_class_names_and_provenance(file):
    predictor = OnnxPredictor(file)
    assert predictor.name == "vote"
    assert predictor.class_names == CARD.class_names
    assert predictor.channels == 3
    assert predictor.provenance == {"kind": "ensemble", "inference": "refit"}


def test_names_no_path_of_this_machine(file):
    assert b".py" not in file.read_bytes()


def test_is_one_file(file):
    assert sorted(path.name for path in file.parent.iterdir()) == ["model.onnx", "predict.py"]


@pytest.fixture
def linear() -> Member:
    """A member that is exported in a second, with 6 KB of weights."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2))
    return Member.from_module(net, classes=["ant", "bee"], size=16, fit="pad", name="net").eval()


def test_weights_past_the_limit_lie_beside_it(tmp_path, linear, photos, monkeypatch):
    monkeypatch.setattr(_onnx_graph, "LARGEST_FILE", 1000)
    file = Onnx().export(linear, torch.from_numpy(photos), tmp_path, Card.of(linear, "net"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "model.onnx.data", "predict.py"]
    reference = ModulePredictor(linear, "net", linear.class_names)
    check_parity(reference, OnnxPredictor(file), several_sizes(photos), "onnx of net")


@pytest.mark.parametrize(("name", "fit"), [("test_resnet", "crop"), ("test_efficientnet", "pad")])
def test_gray_images_and_channels_last_weights(tmp_path, with_view, photos, name, fit):
    module = with_view(f"{name}.r160_in1k", 48, fit, 1).to(memory_format=torch.channels_last).eval()
    gray = photos[:, :1]
    file = Onnx().export(module, torch.from_numpy(gray), tmp_path, CARD)
    assert OnnxPredictor(file).channels == 1
    reference = ModulePredictor(module, "gray", CARD.class_names)
    check_parity(reference, OnnxPredictor(file), several_sizes(gray), "onnx of gray")


def test_says_which_squares_are_all_that_it_reads_of_photos(tmp_path, linear, photos):
    file = Onnx().export(linear, torch.from_numpy(photos), tmp_path, Card.of(linear, "net"))
    predictor = OnnxPredictor(file)
    assert predictor.canvases == ((16, "pad", 3),)
    squares = np.stack([canvas_of(photo, 16, "pad") for photo in photos])
    assert np.array_equal(predictor(squares), predictor(photos))


@pytest.mark.parametrize("entry", [None, [], [16], [0, "pad"], [True, "pad"], [2**20, "pad"], [16, "native"]])
def test_a_file_that_says_something_else_gets_whole_photos(entry):
    assert canvases_in([16, "crop"], 1) == ((16, "crop", 1),) and canvases_in(entry, 3) == ()


def test_a_module_that_cannot_be_traced_is_named(tmp_path, photos):
    class Untraceable(nn.Module):
        def forward(self, images):
            means = images.float().mean((1, 2, 3))
            return torch.stack([means, means + (1 if means.sum() > 3 else 2)], 1)

    with pytest.raises(ExportError) as caught:
        Onnx().export(Untraceable(), torch.from_numpy(photos), tmp_path, Card("net", ("a", "b")))
    assert str(caught.value).startswith("onnx of net: expected a module that torch.export can record, got ")
    assert "Next steps" not in str(caught.value) and "\x1b" not in str(caught.value)
    assert str(caught.value).endswith(
        " (in model: Untraceable). Rewrite this part without branches on values of tensors, leave the "
        "format out of exports.formats, or name the backbone in backbones.exclude."
    )


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(StoreError) as caught:
        OnnxPredictor(path)
    assert str(caught.value) == (
        f"{path}: expected a complete ONNX file, got a damaged one. "
        "Write it again with: committee export --model-name NAME"
    )


def test_a_foreign_file_is_named(tmp_path, file):
    import onnx

    model = onnx.load(file)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(StoreError) as caught:
        OnnxPredictor(tmp_path / "other.onnx")
    assert str(caught.value) == (
        f"{tmp_path / 'other.onnx'}: expected an ONNX file that committee wrote, "
        "got one without class names. Write it again with: committee export --model-name NAME"
    )


def test_an_absent_device_is_named(file):
    with pytest.raises(DeviceError) as caught:
        OnnxPredictor(file, "mps")
    assert str(caught.value) == (
        "device: expected one that onnxruntime supports here (cpu), got 'mps'. "
        "Use the best one with --set device=auto."
    )


def test_metadata_are_json(file):
    import onnx

    props = {prop.key: prop.value for prop in onnx.load(file).metadata_props}
    assert json.loads(props["class_names"]) == list(CARD.class_names)
