"""A file is hashed once while the lock is held, and again after every change."""

import os

import pytest

from committee.store import hashes, lock
from committee.store.hashes import hash_file

OLD = 10**18


def settled(path):
    """Set the time of modification, which does not set the time of change."""
    os.utime(path, ns=(OLD, OLD))
    return path


@pytest.fixture
def hashed(monkeypatch):
    """The hashes that were computed."""
    found, sha256 = [], hashes._sha256
    monkeypatch.setattr(hashes, "_sha256", lambda file: found.append(sha256(file)) or found[-1])
    monkeypatch.setattr(hashes, "SETTLED", -(10**12))
    return found


def test_a_file_is_hashed_once_by_the_holder_of_the_lock(tmp_path, hashed):
    file = tmp_path / "a"
    file.write_bytes(b"one")
    with lock.hold(tmp_path / "store"):
        assert {hash_file(file) for _ in range(3)} == {hash_file(tmp_path / ".." / tmp_path.name / "a")}
        assert len(hashed) == 1
    hash_file(file)
    hash_file(file)
    assert len(hashed) == 3
    with lock.hold(tmp_path / "store"):
        hash_file(file)
    assert len(hashed) == 4


def overwrite(file):
    file.write_bytes(b"two")


def replace(file):
    overwrite(file.with_name("new"))
    settled(file.with_name("new")).replace(file)


def overwrite_and_reset_time(file):
    overwrite(file)
    settled(file)


@pytest.mark.parametrize("change", [overwrite, replace, overwrite_and_reset_time])
def test_a_changed_file_is_hashed_again(tmp_path, hashed, change):
    file = tmp_path / "a"
    file.write_bytes(b"one")
    settled(file)
    with lock.hold(tmp_path / "store"):
        before = hash_file(file)
        change(file)
        assert hash_file(file) != before
    assert len(hashed) == 2


def test_a_file_that_was_just_changed_is_not_remembered(tmp_path, hashed, monkeypatch):
    monkeypatch.undo()
    (tmp_path / "a").write_bytes(b"one")
    with lock.hold(tmp_path / "store"):
        hash_file(tmp_path / "a")
        assert lock.memory() == {}
