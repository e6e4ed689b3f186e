"""Every export format: its file predicts what the module predicts, and is recognized, opened and refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn

from committee.errors import CommitteeError, DeviceError, StoreError, UsageError
from committee.exporters.base import EXPORTERS, Card, Exporter, format_of, open_exported
from committee.models.ensemble import Ensemble
from committee.models.member import Member
from committee.models.predictor import ModulePredictor, Predictor
from committee.pipeline.shared.package import package
from committee.pipeline.shared.parity import check_parity, several_sizes
from committee.store.manifest import NAME as MANIFEST

pytestmark = pytest.mark.slow

CLASSES = ("ant", "bee", "été")
FACTS = {"kind": "ensemble", "inference": "refit"}
NAMES = EXPORTERS.names()
OWN, SMALL = "own_format", "python:own_format:small"
OPTIONS = {"custom": f"custom:function={OWN}:write"}
"""Options of the formats that need some."""


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


@pytest.fixture(scope="session")
def tiny() -> Ensemble:
    """Two small networks of different size and geometry, which every tool translates within seconds."""
    given: dict[str, Any] = {"classes": CLASSES, "trusted": True}
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent)
        first = Member.build(SMALL, size=16, seed=0, name="first", **given)
        second = Member.build(SMALL, size=8, fit="pad", seed=1, name="second", **given)
    return Ensemble([first, second], {"combiner": "hard_voting"}, name="pair").eval()


@pytest.fixture(scope="session")
def exported(tiny, photos, once) -> Callable[[str], tuple[Path, dict[str, Any]]]:
    """Return a function that packages `tiny` once in a format; it skips what this machine cannot write."""

    def write(name: str, folder: Path) -> None:
        card, batches = Card("pair", CLASSES, FACTS), several_sizes(list(photos))
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(Path(__file__).parent)
            status = package(tiny, card, folder / "package", [OPTIONS.get(name, name)], batches)
        (entry,) = status["formats"].values()
        (folder / "entry.json").write_text(json.dumps(entry), encoding="utf-8")

    def of(name: str) -> tuple[Path, dict[str, Any]]:
        folder = once(f"exported-{name}", partial(write, name))
        entry = json.loads((folder / "entry.json").read_text(encoding="utf-8"))
        if entry["status"] == "missing":
            pytest.skip(entry["reason"])
        assert entry["status"] == "done", entry
        return folder / "package", entry

    return of


@pytest.fixture
def copied(exported, tmp_path) -> Callable[[str], tuple[Exporter, Path]]:
    """Return a function that copies the exported files of a format, and returns the main one."""

    def copy(name: str) -> tuple[Exporter, Path]:
        folder, entry = exported(name)
        file = folder / entry["file"]
        source = file if file.is_dir() else file.parent
        new = Path(shutil.copytree(source, tmp_path / "copy", ignore=shutil.ignore_patterns(MANIFEST)))
        exporter = EXPORTERS.make(name)
        exporter.trusted = True
        return exporter, new if file.is_dir() else new / file.name

    return copy


@pytest.fixture(autouse=True)
def own_format_importable(monkeypatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)


def compare(module: nn.Module, predictor: Predictor, photos) -> None:
    batches = [*several_sizes(list(photos)), photos[:2].repeat(3, 2).repeat(2, 3)[:, :, :301, :201]]
    reference = ModulePredictor(module, "pair", CLASSES)
    assert check_parity(reference, predictor, batches, "file")["max_abs_diff"] < 1e-6
    spread = np.concatenate([reference(images) for images in batches])
    assert spread.std(0).max() > 1e-3, "the test cannot fail if all images have the same probabilities"


@pytest.mark.parametrize("name", [name for name in NAMES if not EXPORTERS.load(name).graph])
@pytest.mark.parametrize("which", ["named", "given"])
def test_a_format_that_builds_networks_predicts_what_they_predict(
    name, which, photos, tmp_path, request
) -> None:
    if OPTIONS.get(name, name) != name:
        pytest.skip("the function of the user writes what it likes")
    module = request.getfixturevalue(which)
    exporter = EXPORTERS.make(name)
    file = exporter.export(module, torch.from_numpy(photos), tmp_path, Card("pair", CLASSES, FACTS))
    predictor = exporter.load(file, module)
    assert (predictor.name, predictor.class_names, predictor.channels) == ("pair", CLASSES, 3)
    compare(module, predictor, photos)


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_is_recognized_and_opened_or_refused(name, tiny, copied, photos) -> None:
    exporter, file = copied(name)
    assert file.name.endswith(exporter.suffix) if exporter.suffix else file.is_dir()
    assert format_of(file) == (name if exporter.suffix else None)
    if not exporter.self_contained:
        with pytest.raises(UsageError, match="expected a file that contains a whole model, got "):
            exporter.open(file)
        return
    predictor = exporter.open(file)
    assert (predictor.name, predictor.class_names, predictor.channels) == ("pair", CLASSES, 3)
    assert dict(predictor.provenance) == FACTS
    compare(tiny, predictor, photos)
    assert predictor(photos[:0]).shape == (0, 3)


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_refused(name, copied) -> None:
    exporter, file = copied(name)
    for each in [file] if file.is_file() else file.rglob("*"):
        if each.is_file():
            each.write_bytes(each.read_bytes()[:20])
    with pytest.raises(CommitteeError) as caught:
        exporter.open(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_package_is_opened_by_file_and_by_folder(name, exported, photos, cli, tmp_path) -> None:
    folder, entry = exported(name)
    file = folder / entry["file"]
    kind = EXPORTERS.load(name)
    for path in (folder / file.relative_to(folder).parts[0], file):
        assert format_of(path) == name
        if kind.runs_code:
            with pytest.raises(UsageError) as caught:
                open_exported(path)
            assert str(caught.value) == (
                f"{path}: expected a trusted file, since files of the format {name} can run code, got one "
                f"that is not trusted. If you know who wrote it, add --trust {name}, or name the format in "
                "exports.formats."
            )
    copy = Path(shutil.copytree(folder, tmp_path / "copy")) / file.relative_to(folder)
    inside = [each for each in copy.rglob("*") if each.is_file()]
    damaged = max(inside, key=lambda each: each.stat().st_size, default=copy)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\1")
    with pytest.raises(StoreError):
        open_exported(copy, trusted=True)


@pytest.mark.parametrize("name", [name for name in NAMES if EXPORTERS.load(name).self_contained])
def test_the_command_line_opens_the_file(name, tiny, exported, photos, cli, tmp_path) -> None:
    folder, entry = exported(name)
    Image.fromarray(photos[0].transpose(1, 2, 0)).save(tmp_path / "a.png")
    trust = [word for each in (name, SMALL, f"python:{OWN}:open_model") for word in ("--trust", each)]
    found = cli("predict", folder / entry["file"], tmp_path / "a.png", "--json", *trust)
    assert found.code == 0, found.err
    (row,) = json.loads(found.out)["predictions"]
    expected = ModulePredictor(tiny, "pair", CLASSES)(photos[:1])[0]
    assert list(row["probabilities"].values()) == pytest.approx(expected.tolist(), abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_device_that_is_not_available_is_named(name, copied) -> None:
    exporter, file = copied(name)
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
