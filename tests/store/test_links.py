"""Equal files are stored once."""

import pytest

from committee.store import links
from committee.store.links import link_duplicates

BIG = bytes(2**16)


@pytest.fixture
def folders(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other" / "parts"
    one.mkdir()
    other.mkdir(parents=True)
    (one / "weights").write_bytes(BIG)
    (one / "small").write_bytes(b"x")
    (other / "same").write_bytes(BIG)
    (other / "differs").write_bytes(b"1" + BIG[1:])
    (other / "small").write_bytes(b"x")
    return one, tmp_path / "other"


def test_large_equal_files_become_one(folders):
    one, other = folders
    assert link_duplicates(other, [one, one.parent / "absent"]) == 1
    assert (one / "weights").samefile(other / "parts" / "same")
    assert not (one / "small").samefile(other / "parts" / "small")
    assert (other / "parts" / "differs").read_bytes()[:1] == b"1"
    assert sorted(path.name for path in (other / "parts").iterdir()) == ["differs", "same", "small"]


def test_removing_one_leaves_the_other(folders):
    one, other = folders
    link_duplicates(other, [one])
    (one / "weights").unlink()
    assert (other / "parts" / "same").read_bytes() == BIG


def test_without_links_the_copies_stay(folders, monkeypatch):
    def no_links(*_):
        raise OSError("not supported")

    monkeypatch.setattr(links.os, "link", no_links)
    one, other = folders
    assert link_duplicates(other, [one]) == 0
    assert (other / "parts" / "same").read_bytes() == BIG
