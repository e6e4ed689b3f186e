import fsspec
import pytest

from committee.images.remote import find_remote


@pytest.fixture
def folder():
    """A folder of fsspec's storage in memory with one image."""
    files = fsspec.filesystem("memory")
    files.pipe_file("/photos/cat/a.png", b"content")
    yield "photos"
    files.rm("/photos", recursive=True)


def test_a_protocol_may_be_in_capitals(folder: str) -> None:
    found, others = find_remote(f"MEMORY://{folder}")
    assert ([each.as_posix() for each in found], others) == (["memory://photos/cat/a.png"], 0)
    assert found[0].read_bytes() == b"content"
