"""A bundle is written completely or not at all, with the same bytes each time, and never over other files."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from committee.errors import StoreError, UsageError
from committee.pipeline.bundling import writing
from committee.pipeline.bundling.reading import verified
from committee.pipeline.bundling.writing import write


@pytest.fixture
def content(tmp_path: Path) -> dict[str, bytes | Path]:
    large = tmp_path / "large"
    large.write_bytes(bytes(range(256)) * 1000)
    return {"README.md": b"a card", "triton/a/1/model.onnx": large, "web/größe.txt": b"text"}


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_what_is_written_is_read_again(tmp_path: Path, content: dict[str, bytes | Path], name: str) -> None:
    path = tmp_path / "new" / name
    write(content, path, "a")
    with verified(path) as folder:
        assert (folder / "README.md").read_bytes() == b"a card"
        assert (folder / "triton/a/1/model.onnx").read_bytes() == (tmp_path / "large").read_bytes()
        if shutil.which("sha256sum"):
            subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=folder, check=True)
    assert [each.name for each in path.parent.iterdir()] == [name]


def test_a_zip_file_has_the_same_bytes_each_time(tmp_path: Path, content: dict[str, bytes | Path]) -> None:
    one, other = tmp_path / "one.zip", tmp_path / "other.zip"
    write(content, one, "a")
    os.utime(tmp_path / "large", (1, 1))
    write(dict(reversed(content.items())), other, "a")
    assert one.read_bytes() == other.read_bytes()
    with zipfile.ZipFile(one) as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {"a"}


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_other_content_is_replaced_with_force_alone(
    tmp_path: Path, content: dict[str, bytes | Path], name: str
) -> None:
    path = tmp_path / name
    write(content, path, "a")
    before = path.stat().st_mtime_ns
    write(content, path, "a")
    if path.is_dir():
        assert path.stat().st_mtime_ns == before, "an equal folder is left as it is"
    with pytest.raises(UsageError, match=r"a bundle with other content exists.*--force"):
        write({**content, "README.md": b"another"}, path, "a")
    write({**content, "README.md": b"another"}, path, "a", force=True)
    with verified(path) as folder:
        assert (folder / "README.md").read_bytes() == b"another"


def test_files_of_the_user_are_never_replaced(tmp_path: Path, content: dict[str, bytes | Path]) -> None:
    path = tmp_path / "thesis"
    path.mkdir()
    (path / "chapter.txt").write_text("years of work")
    for _ in range(2):
        with pytest.raises(UsageError, match=r"expected a bundle or an empty folder, got 'chapter.txt'"):
            write(content, path, "a", force=True)
        (path / "SHA256SUMS").write_text(f"{'0' * 64}  README.md\n")
    assert (path / "chapter.txt").exists()


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_a_full_disk_leaves_what_existed(
    tmp_path: Path, content: dict[str, bytes | Path], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out" / name
    write(content, path, "a")

    def full(source: object, target: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(writing.shutil, "copyfileobj", full)
        with pytest.raises(StoreError, match="more disk space"):
            write({**content, "README.md": b"another"}, path, "a", force=True)
    assert [each.name for each in path.parent.iterdir()] == [name]
    with verified(path) as folder:
        assert (folder / "README.md").read_bytes() == b"a card"


@pytest.mark.parametrize("is_renamed", [True, False], ids=["between the renames", "after both"])
def test_what_a_killed_run_left_is_removed_by_the_next(
    tmp_path: Path, content: dict[str, bytes | Path], is_renamed: bool
) -> None:
    place = tmp_path / "out"
    path, others = place / "bundle", place / ".bundle.mine.old~"
    others.mkdir(parents=True)
    write(content, path, "a")
    old = path if is_renamed else shutil.copytree(path, place / "copy")
    old.rename(place / ".bundle.0123abcd.old~")
    (place / ".bundle.0123abcd.new~").mkdir()
    write(content, path, "a")
    assert {each.name for each in place.iterdir()} == {"bundle", others.name}
    with verified(path) as folder:
        assert (folder / "README.md").read_bytes() == b"a card"
