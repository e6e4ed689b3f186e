"""A package answers for its own model alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from committee.errors import StoreError
from committee.exporters.base import EXPORTERS, Card, open_exported
from committee.exporters.checkpoint import Checkpoint
from committee.models.member import Member
from committee.pipeline.shared.package import package
from committee.recipe.exports import EXPORTERS as RECIPE_EXPORTERS
from committee.store.layout import Store
from committee.store.manifest import read_manifest

BATCH = [np.zeros((2, 3, 40, 40), np.uint8)]


@pytest.fixture
def two(store: Store) -> tuple[Path, Path]:
    """The packages of two members in a store."""
    folders = []
    for seed, name in enumerate(("first", "second")):
        member = Member.build("timm:test_resnet", classes=["a", "b"], size=32, seed=seed, name=name).eval()
        folder = store.deploy(name)
        status = package(member, Card(name, ("a", "b")), folder, ["checkpoint"], BATCH, fingerprint=name)
        assert status["formats"]["checkpoint"]["status"] == "done"
        assert open_exported(folder / "checkpoint").name == name
        folders.append(folder)
    return folders[0], folders[1]


def swap(first: Path, second: Path) -> None:
    first.rename(first.with_name("aside"))
    second.rename(first)
    first.with_name("aside").rename(second)


@pytest.mark.parametrize("part", ["", "checkpoint"])
def test_swapped_folders_are_refused(
    two: tuple[Path, Path], part: str, cli: Callable[..., Any], tmp_path: Path
) -> None:
    swap(two[0] / part, two[1] / part)
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    found = cli("predict", two[0] / "checkpoint", tmp_path / "a.png")
    said = "the file in checksums.json, got another" if part else "the package of first, got that of second"
    assert found.code == 1 and said in found.err


def test_a_copy_may_have_another_name_but_not_that_of_another_model(
    two: tuple[Path, Path], tmp_path: Path
) -> None:
    copy = shutil.copytree(two[0], tmp_path / "shipped" / "v3")
    assert open_exported(copy / "checkpoint").name == "first"
    shutil.copytree(two[1], tmp_path / "shipped" / "first")
    with pytest.raises(StoreError, match="expected the package of v3, got that of first"):
        open_exported(copy / "checkpoint")


def test_a_changed_record_is_refused(two: tuple[Path, Path]) -> None:
    path = two[0] / "metadata.json"
    path.write_text(path.read_text(encoding="utf-8").replace("first", "other"), encoding="utf-8")
    with pytest.raises(
        StoreError, match=r"metadata\.json: expected the file in checksums\.json, got another"
    ):
        open_exported(two[0] / "checkpoint")


def test_options_have_a_folder_of_their_own_and_are_kept_apart(tmp_path: Path, monkeypatch) -> None:
    class Rounded(Checkpoint):
        tolerance = 0.5

        def __init__(self, digits: int = 3) -> None:
            self.digits = digits

    monkeypatch.setattr(EXPORTERS, "load", lambda name: Rounded)
    monkeypatch.setattr(RECIPE_EXPORTERS, "load", lambda name: Rounded)
    member = Member.build("timm:test_resnet", classes=["a", "b"], size=32, seed=0, name="one").eval()

    def write() -> dict[str, Any]:
        formats = ["checkpoint", "checkpoint:digits=2"]
        return package(member, Card("one", ("a", "b")), tmp_path / "one", formats, BATCH, fingerprint="f")

    status = write()["formats"]
    assert {name: (its["format"], its["options"], its["file"]) for name, its in status.items()} == {
        "checkpoint": ("checkpoint", {}, "checkpoint"),
        "checkpoint_2": ("checkpoint", {"digits": 2}, "checkpoint_2"),
    }
    assert open_exported(tmp_path / "one" / "checkpoint_2").name == "one"
    assert read_manifest(tmp_path / "one" / "checkpoint_2").facts["options"] == {"digits": 2}
    monkeypatch.setattr(Rounded, "export", lambda *_: pytest.fail("what is up to date is not written again"))
    assert write()["formats"] == status
