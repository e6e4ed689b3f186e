"""A zip file writes nothing outside its folder, and little more than it weighs."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

import pytest

from committee.errors import StoreError
from committee.untrusted import archives, growth
from committee.untrusted.archives import unpack

OUTSIDE = ["/etc/x", "../x", "a/../../x", "C:/x", "a\\..\\..\\x", "a:stream"]


def save(path: Path, *entries: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/first.txt", b"harmless")
        for name, data in entries:
            archive.writestr(name, data)
    return path


def refusal(path: Path) -> str:
    target = path.parent / "target"
    with pytest.raises(StoreError) as raised:
        unpack(path, target)
    assert not target.exists(), "something was unpacked"
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name]
    return str(raised.value)


def entry(name: str, mode: int) -> zipfile.ZipInfo:
    made = zipfile.ZipInfo(name)
    made.external_attr = mode << 16
    return made


@pytest.mark.parametrize("name", OUTSIDE)
def test_no_name_leads_outside(tmp_path: Path, name: str) -> None:
    text = refusal(save(tmp_path / "x.zip", (zipfile.ZipInfo(name), b"evil")))
    assert "expected names of files inside one folder, got" in text and repr(name) in text


def test_links_and_devices_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "x.zip", (entry("a/link", stat.S_IFLNK | 0o777), b"/etc/passwd"))
    assert "expected plain files, got a link or a device, 'a/link'" in refusal(path)


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "x.zip", ("a/FIRST.txt", b"other"))
    assert "expected different names, got 'a/FIRST.txt' twice" in refusal(path)


def test_many_small_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST", 2)
    path = save(tmp_path / "x.zip", *((f"a/{k}", b"") for k in range(2)))
    assert "expected at most 2 files, got 3. Do not use this file" in refusal(path)


def test_a_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "HARMLESS", 2**16)
    assert "expected a zip file of ordinary size" in refusal(save(tmp_path / "x.zip", ("a/b", bytes(2**20))))


def test_entries_that_overlap_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "x.zip")
    infos = zipfile.ZipFile(path).infolist() * 40
    for number, each in enumerate(infos := [zipfile.ZipInfo(f"a/{k}") for k in range(len(infos))]):
        each.compress_size = each.file_size = 10 * (number + 1)
    monkeypatch.setattr(archives.zipfile.ZipFile, "infolist", lambda self: infos)
    assert "entries that overlap" in refusal(path)


@pytest.mark.parametrize("damage", [slice(0, -30), slice(40, None)])
def test_damage_is_an_error(tmp_path: Path, damage: slice) -> None:
    path = save(tmp_path / "x.zip", ("a/b", bytes(range(256))))
    path.write_bytes(path.read_bytes()[damage])
    with pytest.raises(StoreError, match="expected an intact zip file, got a damaged one"):
        unpack(path, tmp_path / "target")


def test_plain_files_are_unpacked(tmp_path: Path) -> None:
    unpack(save(tmp_path / "x.zip", ("a/b/c.txt", b"text"), ("a/d/", b"")), tmp_path / "target")
    found = {each.relative_to(tmp_path / "target").as_posix() for each in (tmp_path / "target").rglob("*")}
    assert found == {"a", "a/first.txt", "a/b", "a/b/c.txt"}
