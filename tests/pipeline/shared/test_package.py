"""A package: every format compared with its model, all files in the checksums, failures with their reason."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_images
from torch import nn

from committee.errors import UsageError
from committee.exporters.base import EXPORTERS, Card
from committee.models.member import Member
from committee.models.predictor import ModulePredictor
from committee.pipeline.shared.file_time import file_time, slower
from committee.pipeline.shared.package import failures, package
from committee.pipeline.shared.parity import several_sizes
from committee.store.manifest import hash_file

CLASSES = ("ant", "bee", "cat")
FORMATS = ("state_dict", "checkpoint", "onnx")
"""The formats of the packages; tests/exporters/test_contract.py compares those of all exporters."""


@pytest.fixture(scope="module")
def batches():
    """Real photographs, in several sizes."""
    photos = [image[:360:3, ::4].transpose(2, 0, 1) for image in load_sample_images().images]
    return several_sizes(photos)


@pytest.fixture
def member() -> Member:
    return Member.build("timm:test_resnet", classes=CLASSES, size=32, seed=0, name="one").eval()


@pytest.fixture(scope="module")
def packaged(batches, tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("deploy") / "one"
    member = Member.build("timm:test_resnet", classes=CLASSES, size=32, seed=0, name="one").eval()
    card = Card("one", CLASSES, {"kind": "member", "inference": "refit"})
    return folder, package(member, card, folder, [*FORMATS, "custom"], batches, fingerprint="abc")


def read(folder: Path, name: str):
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_compared(name, packaged, batches):
    folder, status = packaged
    entry = status["formats"][name]
    assert entry["status"] == "done", entry
    assert entry["parity"]["max_abs_diff"] <= 1e-5
    shapes = ["x".join(map(str, images.shape)) for images in batches]
    assert entry["parity"]["shapes"] == [*shapes, f"{len(batches[0])}x3x37x37"]  # the canvas
    assert entry["size_mb"] > 0.5 and entry["seconds"] >= 0
    if EXPORTERS.constants(name).get("graph"):
        assert entry["time"]["images"] == len(batches[0])
        assert min(entry["time"]["file_ms"], entry["time"]["module_ms"]) > 0
    else:
        assert "time" not in entry
    assert (folder / entry["file"]).exists()


def test_a_file_that_is_slower_than_its_module_is_named(batches):
    def predictor(seconds: float):
        return lambda images: time.sleep(seconds)

    found = file_time(predictor(0.0), predictor(0.02), batches[0])
    assert found["file_ms"] >= 20 > found["module_ms"]
    times = {"file_ms": 3.0, "module_ms": 2.0, "images": 3}
    assert slower({"file": "onnx/model.onnx", "time": times}) == (
        "onnx/model.onnx is slower than the model in torch: 1.5 times as long for a batch of 3 images here."
    )
    assert slower({"file": "onnx/model.onnx", "time": times | {"file_ms": 2.1}}) == ""


def test_the_same_weights_are_the_same_bytes(member, tmp_path):
    card = Card("one", CLASSES, {})
    exporter = EXPORTERS.make("state_dict")
    files = [exporter.export(member, torch.empty(0), tmp_path, card).read_bytes() for _ in range(8)]
    assert len(set(files)) == 1


def test_a_format_that_fails_is_an_entry_with_the_reason(packaged):
    folder, status = packaged
    assert failures(status) == {
        "custom": "custom of one: expected the option function, such as package.module:function, got none. "
        "Name it: {format: custom, function: package.module:function}."
    }
    assert read(folder, "export_status") == status
    assert not (folder / "custom").exists()


def test_an_unknown_format_is_refused(tmp_path, member, batches):
    with pytest.raises(
        UsageError, match=f"export format 'nothing': expected one of {EXPORTERS.names()[0]}, "
    ):
        package(member, Card("one", CLASSES), tmp_path, ["nothing"], batches)
    assert list(tmp_path.iterdir()) == []


def test_every_file_is_in_the_checksums(packaged):
    folder, _ = packaged
    sums = read(folder, "checksums")
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert sums.keys() == files - {"checksums.json"}
    assert all(hash_file(folder / name) == expected for name, expected in sums.items())


def test_names_and_provenance(packaged):
    folder, _ = packaged
    assert read(folder, "class_mapping") == {"0": "ant", "1": "bee", "2": "cat"}
    facts = read(folder, "metadata")
    assert (facts["name"], facts["kind"], facts["inference"]) == ("one", "member", "refit")
    assert set(facts["versions"]) == {"committee", "torch", "torchvision", "timm"}


def test_formats_are_added_kept_and_replaced(tmp_path, member, batches):
    card = Card("one", CLASSES)
    first = package(member, card, tmp_path, ["checkpoint"], batches, fingerprint="a")
    (tmp_path / "notes").mkdir()
    both = package(member, card, tmp_path, ["state_dict", "checkpoint"], batches, fingerprint="a")
    assert both["formats"]["checkpoint"] == first["formats"]["checkpoint"]
    assert set(both["formats"]) == {"checkpoint", "state_dict"}
    other = package(member, card, tmp_path, ["state_dict"], batches, fingerprint="b")
    assert set(other["formats"]) == {"state_dict"}
    assert not (tmp_path / "checkpoint").exists(), "the checkpoint of another model stayed"
    assert (tmp_path / "notes").is_dir(), "a folder of the user was removed"


def test_a_damaged_format_is_made_again(tmp_path, member, batches):
    for _ in range(2):
        status = package(member, Card("one", CLASSES), tmp_path, ["state_dict"], batches, fingerprint="a")
        path = tmp_path / status["formats"]["state_dict"]["file"]
        assert hash_file(path) == read(tmp_path, "checksums")["state_dict/weights.safetensors"]
        path.write_bytes(path.read_bytes()[:-1] + b"\1")


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_with_other_probabilities_is_not_kept(name, tmp_path, member, batches, monkeypatch):
    def off(self, file, module):
        predictor = ModulePredictor(module, "one", CLASSES)
        return lambda images: predictor(images) + np.float32(0.5)

    monkeypatch.setattr(EXPORTERS.load(name), "load", off)
    status = package(member, Card("one", CLASSES), tmp_path, [name], batches)
    assert failures(status) == {
        name: f"{name} of one: expected probabilities within 1e-05 of the module's and the same top class, "
        f"got a difference of 0.5 on images {list(batches[0].shape)}. "
        "The file was not kept: use another format, and report the backbone."
    }
    assert not (tmp_path / name).exists()


def test_a_bare_module_has_no_checkpoint(tmp_path, batches):
    class Bare(nn.Module):
        def forward(self, images):
            return images.float().mean((2, 3))

    status = package(Bare(), Card("bare", CLASSES), tmp_path, ["checkpoint", "state_dict"], batches)
    assert failures(status) == {
        "checkpoint": "checkpoint of bare: expected a Member, an Ensemble or a Composite, got Bare. "
        "Wrap it with Member.from_module."
    }
    assert status["formats"]["state_dict"]["status"] == "done"


def test_a_folder_of_someone_else_is_left_alone(tmp_path, member, batches):
    (tmp_path / "one" / "photos").mkdir(parents=True)
    with pytest.raises(UsageError) as caught:
        package(member, Card("one", CLASSES, {}), tmp_path / "one", ["state_dict"], batches)
    assert str(caught.value) == (
        f"{tmp_path / 'one'}: expected a folder that committee wrote, or an empty one, got 'photos'. "
        "Name another folder with --out."
    )
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["photos"]
