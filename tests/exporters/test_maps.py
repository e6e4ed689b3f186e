"""Exported files of models that predict maps: one file for images of any size, and its comparison."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from committee.errors import ExportError
from committee.exporters._resized import FromResized, resized_predictor
from committee.exporters.base import Card, open_exported
from committee.models.ensemble import Ensemble
from committee.models.member import Member
from committee.models.predictor import ModulePredictor
from committee.pipeline.shared.package import package
from committee.pipeline.shared.parity import check_parity, several_sizes

FORMATS = ("onnx", "torchscript", "torch_export", "checkpoint")


def member(seed: int, **names: object) -> Member:
    options = {"size": 32, "channels": 1, "output_stride": 4, "seed": seed, "name": f"net_{seed}"}
    return Member.build("timm:test_resnet", **(names or {"classes": ["ground", "cell"]}), **options)


@pytest.fixture(scope="module")
def pair() -> Ensemble:
    names = {"classes": ["ground", "cell"], "task": "segmentation"}
    return Ensemble([member(0, **names), member(1, **names)], weights=[0.25, 0.75], name="pair").eval()


@pytest.fixture(scope="module")
def images(photos: np.ndarray) -> list[np.ndarray]:
    return [photo[:1, : 37 + 2 * place, :45] for place, photo in enumerate(photos)]


@pytest.fixture(scope="module")
def packaged(pair: Ensemble, images: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("maps")
    status = package(pair, Card.of(pair, "pair"), folder, FORMATS, several_sizes(images))
    reasons = {name: its["reason"] for name, its in status["formats"].items() if its["status"] == "failed"}
    assert not reasons
    for its in status["formats"].values():
        assert its["status"] == "missing" or its["parity"]["same_class"] == 1
    return folder


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_takes_images_of_any_size(name: str, packaged: Path, pair: Ensemble, images) -> None:
    if not (packaged / name).is_dir():
        pytest.skip(f"{name} cannot be written here")
    model = open_exported(packaged / name, trusted=[name])
    assert (
        model.target_type.name == "class_maps" if name != "checkpoint" else model.task.key == "segmentation"
    )
    for height, width in ((37, 45), (4, 3), (64, 32)):
        image = np.resize(images[0], (1, 1, height, width))
        with torch.inference_mode():
            expected = pair(torch.from_numpy(image)).exp().numpy()
        np.testing.assert_allclose(model(image), expected, atol=1e-5)


def test_the_card_has_the_task_and_sizes(packaged: Path) -> None:
    if not (packaged / "onnx").is_dir():
        pytest.skip("onnx cannot be written here")
    import onnx

    facts = {each.key: each.value for each in onnx.load(packaged / "onnx" / "model.onnx").metadata_props}
    expected = {"task": "segmentation", "stride": 4, "crop": 32, "tile": 512}
    assert json.loads(facts["maps"]) == expected
    assert json.loads(facts["input"])["resizing"] == "none: maps have the height and width of the image"


def test_a_program_of_one_size_gets_tiles(pair: Ensemble, images, tmp_path: Path) -> None:
    """The module predicts the same tiles in the comparison; smaller images are padded."""
    model = FromResized(pair, "test")
    assert [each.shape for each in model.examples(2)] == [(2, 1, 32, 32)]
    facts = {"inputs": model.facts(), "batch": 2, "fixed": True}
    card = {"name": "pair", "provenance": {}, "channels": 1, "class_names": list(pair.class_names)}
    found = resized_predictor(
        tmp_path, {**card, **Card.of(pair, "pair").predicts(), **facts}, lambda x: model(*x)
    )
    reference = ModulePredictor(pair, "pair", pair.class_names)
    report = check_parity(reference, found, [images[0][None], images[0][None, :, :9]], "file")
    assert found.tile == 32 and report["shapes"] == ["1x1x37x45", "1x1x9x45"]
    assert np.abs(found(images[0][None]) - reference(images[0][None])).max() > 1e-5


def test_numbers_of_pixels_are_in_their_units(images, tmp_path: Path, monkeypatch) -> None:
    names = {"targets": ["depth"], "task": "dense_regression", "units": ["m"]}
    depth = member(2, **names, shift=[50], scale=[1e-3]).eval()
    status = package(depth, Card.of(depth, "depth"), tmp_path, ["torchscript"], several_sizes(images))
    assert "same_class" not in status["formats"]["torchscript"]["parity"]
    model = open_exported(tmp_path / "torchscript", trusted=["torchscript"])
    assert (model.class_names, model.units, model.target_type.name) == (("depth",), ("m",), "number_maps")
    found = model(images[0][None])
    with torch.inference_mode():
        np.testing.assert_allclose(found, depth(torch.from_numpy(images[0][None])), rtol=1e-6)
    monkeypatch.chdir(tmp_path)
    save_map = pytest.importorskip("committee.exporters._predict_script").save_map
    assert save_map(found[0], "scans/a.png", False) == "values/a.png.npy"
    np.testing.assert_array_equal(np.load("values/a.png.npy"), found[0])


def test_a_pixel_that_differs_is_an_error(pair: Ensemble, images) -> None:
    reference = ModulePredictor(pair, "pair", pair.class_names)

    def wrong(batch: np.ndarray) -> np.ndarray:
        found = reference(batch)
        found[:, :, 0, 0] = 0.5
        return found

    for other in (wrong, lambda batch: reference(batch)[..., 1:]):
        with pytest.raises(ExportError, match="file: expected probabilities within 1e-05"):
            check_parity(reference, other, [images[0][None]], "file")  # type: ignore[arg-type]


def test_the_script_in_the_package_writes_masks(packaged: Path, pair: Ensemble, images, tmp_path) -> None:
    if not (packaged / "onnx").is_dir():
        pytest.skip("onnx cannot be written here")
    Image.fromarray(images[0][0]).save(tmp_path / "a.png")
    command = [sys.executable, packaged / "onnx" / "predict.py", "a.png"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    mask = Image.open(tmp_path / "masks" / "a.png.png")
    with torch.inference_mode():
        expected = pair(torch.from_numpy(images[0][None]))[0].exp()
    assert mask.mode == "P" and np.array_equal(np.asarray(mask), expected.argmax(0))
    line = json.loads(done.stdout)
    means = dict(zip(pair.class_names, expected.mean((1, 2)).tolist(), strict=True))
    assert line.pop("probabilities") == pytest.approx(means, abs=1e-5)
    assert line == {"id": "a.png", "file": "masks/a.png.png"}
    again = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert again.returncode == 1 and "File exists: 'masks/a.png.png'" in again.stderr
