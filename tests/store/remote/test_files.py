import pytest
from obstore.store import MemoryStore

from committee.store.remote import files
from committee.store.remote.files import ObjectFiles


@pytest.fixture
def storage(monkeypatch):
    """A file system with one bucket in memory."""
    buckets = {"s3://bucket": MemoryStore()}
    monkeypatch.setattr(files, "open_client", buckets.__getitem__)
    return ObjectFiles("s3", skip_instance_cache=True)


def test_objects_are_the_files_of_fsspec(storage):
    content = bytes(range(256)) * 40
    for name in ("a.txt", "deep/b #1?.bin", "deep/er/c.bin"):
        storage.pipe_file(f"bucket/{name}", content)
    assert storage.cat_file("s3://bucket/deep/b #1?.bin") == content
    assert storage.cat_file("bucket/a.txt", 3, 7) == content[3:7]
    assert storage.find("bucket") == ["bucket/a.txt", "bucket/deep/b #1?.bin", "bucket/deep/er/c.bin"]
    assert storage.ls("bucket/deep", detail=False) == ["bucket/deep/b #1?.bin", "bucket/deep/er"]
    entry = storage.info("bucket/deep/er/c.bin")
    assert (entry["size"], entry["type"]) == (len(content), "file") and entry["e_tag"]
    assert storage.info("bucket/deep")["type"] == "directory"
    with storage.open("bucket/a.txt", "rb", block_size=100) as file:
        assert file.seek(-5, 2) and file.read() == content[-5:]
    with pytest.raises(FileNotFoundError):
        storage.info("bucket/none")
    with pytest.raises(ValueError, match="objects are written by pipe_file"):
        storage.open("bucket/a.txt", "wb")
