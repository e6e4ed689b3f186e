"""A bundle from an unknown source is verified before it is used, and what is wrong is named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from committee.errors import StoreError, UsageError
from committee.pipeline.bundling import triton
from committee.pipeline.bundling.reading import is_bundle, open_bundle, verified
from committee.pipeline.bundling.subject import Subject
from committee.pipeline.bundling.writing import write

MODEL = "triton/mean/1/model.onnx"


@pytest.fixture
def folder(tmp_path: Path, subject: Callable[..., Subject]) -> Path:
    write(triton.files(subject()), tmp_path / "bundle", "mean")
    return tmp_path / "bundle"


def zipped(folder: Path) -> Path:
    """Pack a folder as other programs do."""
    return Path(shutil.make_archive(str(folder), "zip", folder.parent, folder.name))


def alter(folder: Path) -> None:
    (folder / MODEL).write_bytes((folder / MODEL).read_bytes()[:-1] + b"?")


def remove(folder: Path) -> None:
    (folder / MODEL).unlink()


def add(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"evil")


def damage(folder: Path) -> None:
    (folder / "SHA256SUMS").write_text("nonsense\n")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (alter, f"/{MODEL}: expected the content that SHA256SUMS lists, got other bytes."),
        (remove, f"/{MODEL}: the file does not exist."),
        (add, "/model.onnx: expected a file that SHA256SUMS lists, got another."),
        (damage, "/SHA256SUMS: expected lines of a SHA-256 and a name, got 'nonsense'."),
    ],
)
@pytest.mark.parametrize("pack", [Path, zipped], ids=["folder", "zip"])
def test_what_changed_is_named(
    folder: Path, change: Callable[[Path], None], text: str, pack: Callable[[Path], Path]
) -> None:
    change(folder)
    path = pack(folder)
    with pytest.raises(StoreError) as raised:
        open_bundle(path)
    assert str(raised.value).startswith(f"{path}{text}")


@pytest.mark.parametrize("pack", [Path, zipped], ids=["folder", "zip"])
def test_an_intact_bundle_predicts(folder: Path, pack: Callable[[Path], Path]) -> None:
    model = open_bundle(pack(folder))
    assert model.name == "mean" and model.channels == 3
    assert np.allclose(model(np.zeros((1, 3, 5, 4), np.uint8)), 1 / 3)


def test_a_link_is_refused(folder: Path) -> None:
    (folder / MODEL).rename(folder.parent / "elsewhere")
    try:
        (folder / MODEL).symlink_to(folder.parent / "elsewhere")
    except OSError:
        pytest.skip("links need a permission on Windows")
    with pytest.raises(StoreError, match="expected a file, got a link"):
        open_bundle(folder)


def test_other_paths_are_no_bundles(tmp_path: Path) -> None:
    assert not is_bundle(tmp_path) and not is_bundle(tmp_path / "model.onnx")
    with pytest.raises(UsageError, match="the file does not exist"), verified(tmp_path / "missing.zip"):
        pass
    with pytest.raises(UsageError, match=r"expected a bundle: .*, got another folder"), verified(tmp_path):
        pass
    (tmp_path / "empty.zip").write_bytes(b"")
    with pytest.raises(StoreError, match="expected an intact zip file"):
        open_bundle(tmp_path / "empty.zip")
