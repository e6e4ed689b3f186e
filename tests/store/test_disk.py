import errno
import shutil
from collections import namedtuple

import pytest

from committee.errors import StoreError
from committee.store import disk
from committee.store.disk import disk_errors, free_bytes, in_words, require_room

Usage = namedtuple("Usage", "total used free")


def test_what_will_not_fit_is_refused_at_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(0, 0, 1_500_000))
    require_room(tmp_path / "deep" / "canvas", 1_500_000)
    with pytest.raises(StoreError) as caught:
        require_room(tmp_path / "deep" / "canvas", 37_000_000)
    assert str(caught.value) == (
        f"{tmp_path / 'deep' / 'canvas'}: expected 37.0 MB of disk space, got 1.5 MB. "
        "Results stored before are intact: free some space, then run the same command again."
    )


def test_room_is_that_of_the_nearest_folder_there_is(tmp_path):
    assert free_bytes(tmp_path / "a" / "b") == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)


def test_sizes_in_words():
    assert [in_words(size) for size in (0, 99_999, 100_000, 1_234_567_890)] == [
        "0 bytes",
        "99999 bytes",
        "0.1 MB",
        "1234.6 MB",
    ]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Error while serializing: I/O error: No space left on device (os error 28)", errno.ENOSPC),
        ("1000 requested and 500 written", errno.ENOSPC),
        ("basic_ios::clear: iostream error", errno.ENOSPC),
        ("I/O error: Read-only file system (os error 30)", errno.EROFS),
        ("something else", 0),
    ],
)
def test_libraries_hide_the_number_in_their_sentences(tmp_path, text, code):
    if disk.os.name == "nt" and "os error" in text:
        pytest.skip("numbers of another system")
    with pytest.raises(StoreError if code else ValueError), disk_errors(tmp_path / "x"):
        raise ValueError(text)
