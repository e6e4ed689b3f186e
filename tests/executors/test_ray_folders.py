"""Working stores of a node: used again by the next run, and removed when no run has used them for days."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from committee.executors._ray_folders import DAY, USED, own_folder, working_store
from committee.executors._ray_mirror import LOCKS
from committee.store.lock import hold


class Disk(NamedTuple):
    """Space of a disk."""

    total: int
    free: int


def aged(folder: Path, days: float) -> None:
    last = time.time() - days * DAY
    os.utime(folder / USED, (last, last))


def test_a_working_store_is_used_again_and_removed_a_week_after_its_last_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Disk(100, 50))
    first, mark = working_store("first", tmp_path)
    (first / "images.npy").write_text("decoded")
    aged(first, days=6.9)
    working_store("second", tmp_path)
    assert working_store("first", tmp_path) == (first, mark)
    aged(first, days=7.1)
    with hold(first / LOCKS / "fit"):  # while a fit runs in it, it is in use
        working_store("second", tmp_path)
        assert (first / "images.npy").exists()
    working_store("second", tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir() if each.is_dir()) == ["second"]
    assert working_store("first", tmp_path)[1] != mark


def test_a_day_is_enough_where_the_disk_is_short_of_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Disk(100, 9))
    for name, days in (("old", 1.1), ("new", 0.9)):
        aged(working_store(name, tmp_path)[0], days)
    working_store("own", tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir() if each.is_dir()) == ["new", "own"]


@pytest.mark.skipif(os.name == "nt", reason="no owner of a folder")
def test_a_folder_of_another_user_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    own_folder().rmdir()
    (tmp_path / f"committee-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(PermissionError, match="belongs to another user"):
        own_folder()
