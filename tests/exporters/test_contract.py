"""Every export format: its file predicts what the module predicts, and is recognized, opened and refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import nn

from committee.errors import CommitteeError, DeviceError, StoreError, UsageError
from committee.exporters.base import EXPORTERS, Card, Exporter, format_of, open_exported
from committee.models.ensemble import Ensemble
from committee.models.member import Member
from committee.models.predictor import ModulePredictor, Predictor
from committee.pipeline.shared.package import package
from committee.pipeline.shared.parity import check_parity, several_sizes

pytestmark = pytest.mark.slow

CLASSES = ("ant", "bee", "été")
FACTS = {"kind": "ensemble", "inference": "refit"}
NAMES = EXPORTERS.names()


@pytest.fixture(scope="module")
def named(shaken) -> Ensemble:
    """Two members that can be built by name, of different size and geometry, and a temperature."""
    convnet = shaken(Member.build("timm:test_resnet", classes=CLASSES, size=64, seed=0, name="convnet"))
    vit = shaken(Member.build("timm:test_vit", classes=CLASSES, size=48, fit="pad", seed=0, name="vit"))
    return Ensemble([convnet, vit], {"combiner": "hard_voting"}, name="pair").eval()


@pytest.fixture(scope="module")
def given(shaken, named) -> Ensemble:
    """A member that can be built by name, and one whose network was given as a module."""
    torch.manual_seed(0)
    net = timm.create_model("test_efficientnet", num_classes=3)
    member = shaken(Member.from_module(net, classes=CLASSES, size=48, fit="pad", name="meta"))
    return Ensemble([named.members[0], member], "soft_voting", name="pair").eval()


@pytest.fixture(scope="module")
def export(photos, tmp_path_factory) -> Callable[..., tuple[Exporter, Path]]:
    """Return a function that exports a module once, and copies its files to a folder."""
    made: dict[tuple[str, int], tuple[Path, Path]] = {}

    def copied(name: str, module: nn.Module, folder: Path) -> tuple[Exporter, Path]:
        exporter, key = EXPORTERS.make(name), (name, id(module))
        if key not in made:
            place, card = tmp_path_factory.mktemp("exported"), Card("pair", CLASSES, FACTS)
            made[key] = place, exporter.export(module, torch.from_numpy(photos), place, card)
        place, file = made[key]
        return exporter, Path(shutil.copytree(place, folder)) / file.relative_to(place)

    return copied


def compare(module: nn.Module, predictor: Predictor, photos) -> None:
    batches = [*several_sizes(list(photos)), photos[:2].repeat(3, 2).repeat(2, 3)[:, :, :301, :201]]
    reference = ModulePredictor(module, "pair", CLASSES)
    assert check_parity(reference, predictor, batches, "file")["max_abs_diff"] < 1e-6
    spread = np.concatenate([reference(images) for images in batches])
    assert spread.std(0).max() > 1e-3, "the test cannot fail if all images have the same probabilities"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("which", ["named", "given"])
def test_the_file_predicts_what_the_module_predicts(name, which, export, photos, tmp_path, request) -> None:
    module = request.getfixturevalue(which)
    exporter, file = export(name, module, tmp_path / "new")
    predictor = exporter.load(file, module)
    assert (predictor.name, predictor.class_names, predictor.channels) == ("pair", CLASSES, 3)
    compare(module, predictor, photos)


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_is_recognized_and_opened_or_refused(name, named, export, photos, tmp_path) -> None:
    exporter, file = export(name, named, tmp_path / "new")
    copy = Path(shutil.move(tmp_path / "new", tmp_path / "copy")) / file.relative_to(tmp_path / "new")
    assert copy.name.endswith(exporter.suffix) if exporter.suffix else copy.is_dir()
    assert format_of(copy) == (name if exporter.suffix else None)
    if not exporter.self_contained:
        with pytest.raises(UsageError, match="expected a file that contains a whole model, got "):
            exporter.open(copy)
        return
    predictor = exporter.open(copy)
    assert (predictor.name, predictor.class_names, predictor.channels) == ("pair", CLASSES, 3)
    assert dict(predictor.provenance) == FACTS
    compare(named, predictor, photos)


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_refused(name, named, export, tmp_path) -> None:
    exporter, file = export(name, named, tmp_path / "new")
    for each in [file] if file.is_file() else file.rglob("*"):
        if each.is_file():
            each.write_bytes(each.read_bytes()[:20])
    with pytest.raises(CommitteeError) as caught:
        exporter.open(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_package_is_opened_by_file_and_by_folder(name, named, photos, tmp_path) -> None:
    status = package(named, Card("pair", CLASSES, FACTS), tmp_path, [name], several_sizes(list(photos)))
    entry = status["formats"][name]
    assert entry["status"] == "done", entry
    for path in (tmp_path / name, tmp_path / entry["file"]):
        assert format_of(path) == name
        if EXPORTERS.load(name).self_contained:
            assert open_exported(path).name == "pair"
    file = tmp_path / entry["file"]
    damaged = file if file.is_file() else max(file.rglob("*"), key=lambda each: each.stat().st_size)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\1")
    with pytest.raises(StoreError):
        open_exported(tmp_path / name)


@pytest.mark.parametrize("name", NAMES)
def test_a_device_that_is_not_available_is_named(name, named, export, tmp_path) -> None:
    exporter, file = export(name, named, tmp_path / "new")
    expected = DeviceError if exporter.self_contained else UsageError
    with pytest.raises(expected, match="got 'tpu'" if exporter.self_contained else "weights alone"):
        exporter.open(file, "tpu")


def test_suffixes_differ() -> None:
    suffixes = [suffix for name in NAMES if (suffix := EXPORTERS.load(name).suffix)]
    assert len(set(suffixes)) == len(suffixes)
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in suffixes)


def test_a_suffix_is_read_without_importing_a_format() -> None:
    code = (
        "import sys; from pathlib import Path; from committee.exporters.base import format_of; "
        "format_of(Path('model.other')); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    for name in NAMES:
        assert EXPORTERS.constants(name).get("suffix", "") == EXPORTERS.load(name).suffix


def test_a_path_that_is_no_exported_file_is_named(tmp_path) -> None:
    suffix = next(each for name in NAMES if (each := EXPORTERS.load(name).suffix))
    with pytest.raises(UsageError) as caught:
        open_exported(tmp_path / f"model{suffix}")
    assert str(caught.value) == f"{tmp_path / f'model{suffix}'}: the file does not exist."
    (tmp_path / "model.txt").touch()
    known = ", ".join(sorted(each for name in NAMES if (each := EXPORTERS.load(name).suffix)))
    for path in (tmp_path, tmp_path / "model.txt"):
        with pytest.raises(UsageError) as caught:
            open_exported(path)
        assert str(caught.value) == (
            f"{path}: expected an exported file ({known}) or its folder, got another. "
            "Write one with: committee export --model-name NAME"
        )
