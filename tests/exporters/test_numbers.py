"""Exported files of models that predict numbers: what they contain, and how `predict` shows it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from committee.compression.base import COMPRESSORS
from committee.errors import ExportError
from committee.exporters.base import Card, open_exported
from committee.metrics.interval_table import IntervalTable
from committee.models.ensemble import Ensemble
from committee.models.member import Member
from committee.models.predictor import ModulePredictor
from committee.pipeline.shared.package import package
from committee.pipeline.shared.parity import check_parity, several_sizes

TARGETS, UNITS = ("year", "height"), ("", "µm")
FORMATS = ("onnx", "torchscript")


def member(seed: int) -> Member:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 49, 2))
    options = {"shift": [2000, 0], "scale": [5, 1e-6], "units": UNITS, "name": f"net_{seed}"}
    return Member.from_module(net, targets=TARGETS, size=16, **options)


@pytest.fixture(scope="module")
def pair() -> Ensemble:
    return Ensemble([member(0), member(1)], weights=[0.25, 0.75], name="pair").eval()


@pytest.fixture(scope="module")
def packaged(pair: Ensemble, photos: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("numbers")
    errors = np.arange(1.0, 20.0)[:, None] * [1, 1e-6]
    table = IntervalTable.of(np.zeros((19, 2)), errors, rows="val", approximate=False).to_json()
    card = Card.of(pair, "pair", {"sets": table})
    status = package(pair, card, folder, FORMATS, several_sizes(list(photos)))
    reasons = {name: its["reason"] for name, its in status["formats"].items() if its["status"] == "failed"}
    assert not reasons
    return folder


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_has_the_values_the_targets_and_the_units(name: str, packaged: Path, pair, photos) -> None:
    if not (packaged / name).is_dir():
        pytest.skip(f"{name} cannot be written here")
    model = open_exported(packaged / name, trusted=[name])
    assert (model.class_names, tuple(model.units), model.target_type.name) == (TARGETS, UNITS, "numbers")
    np.testing.assert_allclose(model(photos), pair.predict(photos), rtol=1e-5)


def test_the_smallest_spread_counts_in_the_comparison(pair, photos) -> None:
    """A height is wrong by a ten-millionth, which is a tenth of its standard deviation."""
    reference = ModulePredictor(pair, "pair", TARGETS)

    def wrong(images: np.ndarray) -> np.ndarray:
        return reference(images) + np.array([0, 1e-7], np.float32)

    with pytest.raises(ExportError) as raised:
        check_parity(reference, wrong, [photos], "file")  # type: ignore[arg-type]
    assert str(raised.value).startswith(
        "file: expected values within 1e-05 of the module's, relative to their size, got a difference of 0."
    )
    assert check_parity(reference, wrong, [photos], "file", 0.2)["max_abs_diff"] > 0.01  # type: ignore[arg-type]


def test_the_network_of_a_compressed_file_ends_before_its_unit(file, pair, photos, tmp_path) -> None:
    """Half precision has eleven bits: years would be wrong by one."""
    compressed = COMPRESSORS.make("float16").compress(file, photos, tmp_path)
    np.testing.assert_allclose(open_exported(compressed)(photos)[:, 0], pair.predict(photos)[:, 0], atol=0.05)


@pytest.fixture
def photo(photos: np.ndarray, tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    Image.fromarray(photos[0].transpose(1, 2, 0)).save(path)
    return path


@pytest.fixture
def file(packaged: Path) -> Path:
    if not (packaged / "onnx").is_dir():
        pytest.skip("onnx cannot be written here")
    return packaged / "onnx" / "model.onnx"


def test_predict_shows_values_with_their_units(
    file: Path, pair: Ensemble, photo: Path, cli: Callable, tmp_path: Path
) -> None:
    year, height = pair.predict([photo])[0].tolist()
    said = cli("predict", file, photo)
    assert said.out.split() == [
        *("image", "year", "height", "(µm)"),
        *(photo.as_posix(), f"{year:.6g}", f"{height:.6g}"),
    ]
    found = json.loads(cli("predict", file, photo, "--json").out)
    assert found["units"] == {"year": "", "height": "µm"}
    assert found["predictions"][0]["values"] == pytest.approx({"year": year, "height": height}, rel=1e-5)
    cli("predict", file, photo, "--csv", tmp_path / "out.csv")
    header, row, *rest = (tmp_path / "out.csv").read_text().splitlines()
    assert header == "id,year,height,model" and not rest
    assert [float(cell) for cell in row.split(",")[1:3]] == pytest.approx([year, height], rel=1e-5)


def test_predict_shows_intervals_of_a_coverage(
    file: Path, photo: Path, cli: Callable, tmp_path: Path
) -> None:
    said = cli("predict", file, photo, "--coverage", "0.9", "--json")
    found = json.loads(said.out)
    values, ends = found["predictions"][0]["values"], found["predictions"][0]["intervals"]
    for name, reach in (("year", 18.0), ("height", 18e-6)):
        assert ends[name] == pytest.approx([values[name] - reach, values[name] + reach])
    assert found["intervals"] == (
        "Each interval contains the true number with a probability of 0.9 "
        "(calibrated on 19 rows that no model was fitted on)."
    )
    cli("predict", file, photo, "--coverage", "0.9", "--csv", tmp_path / "out.csv")
    header = (tmp_path / "out.csv").read_text().splitlines()[0]
    assert header == "id,year,height,year low,year high,height low,height high,model"
    assert (
        f"[{ends['year'][0]:.6g}, {ends['year'][1]:.6g}]"
        in cli("predict", file, photo, "--coverage", "0.9").out
    )
    assert "Give a smaller --coverage." in cli("predict", file, photo, "--coverage", "0.99").err


@pytest.mark.parametrize(("option", "value"), [("--sets", "aps"), ("--abstain-below", "0.9")])
def test_options_for_classes_are_refused(
    option: str, value: str, file: Path, photo: Path, cli: Callable
) -> None:
    said = cli("predict", file, photo, option, value)
    assert said.code == 2
    assert f"{option}: expected " in said.err and "pair, which predicts numbers" in said.err


def test_the_script_in_the_package_prints_values(file: Path, pair: Ensemble, photo: Path) -> None:
    done = subprocess.run(
        [sys.executable, file.with_name("predict.py"), photo], capture_output=True, text=True, check=True
    )
    line = json.loads(done.stdout)
    assert line["values"] == pytest.approx(
        dict(zip(TARGETS, pair.predict([photo])[0].tolist(), strict=True)), rel=1e-5
    )
    assert set(line) == {"id", "values"}
