"""A package: every format compared with its model, all files accounted for, failures named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import nn

from committee.exporters._module import ModulePredictor
from committee.exporters._package import failures, package
from committee.exporters._parity import several_sizes
from committee.exporters.base import EXPORTERS, Card
from committee.models.ensemble import Ensemble
from committee.models.member import Member
from committee.store.manifest import hash_file

CLASSES = ("ant", "bee", "cat")


@pytest.fixture(scope="module")
def ensemble(shaken) -> Ensemble:
    """A member by name and one by module, of different size and geometry, and temperatures between."""
    torch.manual_seed(0)
    named = shaken(Member.build("timm:test_resnet", classes=CLASSES, size=64, name="named"))
    net = timm.create_model("test_efficientnet", num_classes=3)
    given = shaken(Member.from_module(net, classes=CLASSES, size=48, fit="pad", name="meta"))
    return Ensemble([named, given], {"combiner": "hard_voting"}, name="pair").eval()


@pytest.fixture(scope="module")
def batches(photos):
    return several_sizes(list(photos))


@pytest.fixture(scope="module")
def made(ensemble, batches, tmp_path_factory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("deploy") / "pair"
    card = Card("pair", CLASSES, {"kind": "ensemble", "inference": "refit"})
    formats = ["state_dict", "checkpoint", "onnx", "tflite"]
    return folder, package(ensemble, card, folder, formats, batches, fingerprint="abc")


def read(folder: Path, name: str):
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", EXPORTERS.names())
def test_every_format_says_what_the_module_says(name, made, ensemble, photos, batches):
    folder, status = made
    entry = status["formats"][name]
    assert entry["status"] == "done", entry
    assert entry["parity"]["max_abs_diff"] <= 1e-5
    assert len(entry["parity"]["shapes"]) == len(batches)
    assert entry["size_mb"] > 0.5 and entry["seconds"] >= 0
    loaded = EXPORTERS.make(name).load(folder / entry["file"], ensemble)
    assert (loaded.name, loaded.class_names, loaded.channels) == ("pair", CLASSES, 3)
    # 300 x 201 was not among the sizes that the export compared.
    images = photos[:2].repeat(3, 2).repeat(2, 3)[:, :, :301, :201]
    with torch.no_grad():
        expected = ensemble(torch.from_numpy(images)).softmax(1).numpy()
    np.testing.assert_allclose(loaded(images), expected, atol=1e-6)
    assert np.abs(expected[0] - expected[1]).max() > 1e-3


def test_the_same_weights_are_the_same_bytes(ensemble, tmp_path):
    card = Card("pair", CLASSES, {})
    files = [
        EXPORTERS.make("state_dict").export(ensemble, torch.empty(0), tmp_path, card).read_bytes()
        for _ in range(8)
    ]
    assert len(set(files)) == 1


def test_a_format_that_is_not_built_is_a_failed_entry(made):
    folder, status = made
    reason = "tflite: not built yet; this version writes checkpoint, onnx, state_dict."
    assert failures(status) == {"tflite": reason}
    assert read(folder, "export_status") == status
    assert not (folder / "tflite").exists()


def test_every_file_is_in_the_checksums(made):
    folder, _ = made
    sums = read(folder, "checksums")
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert sums.keys() == files - {"checksums.json"}
    assert all(hash_file(folder / name) == expected for name, expected in sums.items())


def test_names_and_provenance(made):
    folder, _ = made
    assert read(folder, "class_mapping") == {"0": "ant", "1": "bee", "2": "cat"}
    facts = read(folder, "metadata")
    assert (facts["name"], facts["kind"], facts["inference"]) == ("pair", "ensemble", "refit")
    assert set(facts["versions"]) == {"committee", "torch", "torchvision", "timm"}


def test_formats_are_added_kept_and_replaced(tmp_path, shaken, batches, monkeypatch):
    member = shaken(Member.build("timm:test_resnet", classes=CLASSES, size=32, name="one"))
    card = Card("one", CLASSES)
    first = package(member, card, tmp_path, ["checkpoint"], batches, fingerprint="a")
    both = package(member, card, tmp_path, ["state_dict", "checkpoint"], batches, fingerprint="a")
    assert both["formats"]["checkpoint"] == first["formats"]["checkpoint"]
    assert set(both["formats"]) == {"checkpoint", "state_dict"}
    other = package(member, card, tmp_path, ["state_dict"], batches, fingerprint="b")
    assert set(other["formats"]) == {"state_dict"}
    assert not (tmp_path / "checkpoint").exists(), "the checkpoint of another model stayed"


def test_a_damaged_format_is_made_again(tmp_path, shaken, batches):
    member = shaken(Member.build("timm:test_resnet", classes=CLASSES, size=32, name="one"))
    for _ in range(2):
        status = package(member, Card("one", CLASSES), tmp_path, ["state_dict"], batches, fingerprint="a")
        path = tmp_path / status["formats"]["state_dict"]["file"]
        assert hash_file(path) == read(tmp_path, "checksums")["state_dict/weights.safetensors"]
        path.write_bytes(path.read_bytes()[:-1] + b"\1")


def test_a_file_that_says_something_else_is_not_kept(tmp_path, shaken, batches, monkeypatch):
    member = shaken(Member.build("timm:test_resnet", classes=CLASSES, size=32, name="one"))

    def off(self, file, module):
        predictor = ModulePredictor(module, "one", CLASSES)
        return lambda images: predictor(images) + np.float32(0.5)

    monkeypatch.setattr(EXPORTERS.load("state_dict"), "load", off)
    status = package(member, Card("one", CLASSES), tmp_path, ["state_dict"], batches)
    assert failures(status) == {
        "state_dict": "state_dict of one: expected probabilities within 1e-05 of the module's and the same "
        f"best class, got a difference of 0.5 on images {list(batches[0].shape)}. "
        "The file was not kept: use another format, and report the backbone."
    }
    assert not (tmp_path / "state_dict").exists()


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
