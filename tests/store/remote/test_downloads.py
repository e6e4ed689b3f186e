import io

import numpy as np
import pytest
from obstore.exceptions import GenericError
from obstore.store import MemoryStore
from PIL import Image

from committee.errors import CommitteeError, DataError, MismatchError, StoreError, UsageError
from committee.images.source import read
from committee.recipe.dataset import Dataset as Settings
from committee.store.remote import downloads
from committee.store.remote.downloads import bring, bring_named, by_address
from committee.store.remote.refusals import RemoteError

HERE = "s3://bucket/data"


class Counted:
    """A client that counts what is downloaded, and runs `before` each time."""

    def __init__(self):
        self.store, self.read, self.before = MemoryStore(), [], lambda key: None


@pytest.fixture
def storage(tmp_path, monkeypatch):
    counted = Counted()

    def get(client, key, options=None):
        counted.before(key)
        counted.read.append(key)
        return original(client, key, options=options)

    import obstore

    original = obstore.get
    monkeypatch.setattr(obstore, "get", get)
    monkeypatch.setattr(downloads, "open_client", lambda address: counted.store)
    monkeypatch.setattr(downloads, "_open", {})
    monkeypatch.setenv("COMMITTEE_STORE_CACHE", str(tmp_path / "cache"))
    return counted


def put(storage, **files):
    for name, content in files.items():
        storage.store.put(f"data/{name}", content)


def contents(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_a_folder_is_downloaded_once_and_follows_its_changes(storage):
    put(storage, **{"cat/a #1?.png": b"1", "dog/b.png": b"2", ".hidden/c": b"3"})
    put(storage, **{"dog/.d": b"4", "dog": b""})  # the client removes the `/` of the key of a mark
    storage.store.put("data", b"")
    storage.store.put("other/e.png", b"5")
    folder = bring(f"{HERE}/")
    assert contents(folder) == {"cat/a #1?.png": b"1", "dog/b.png": b"2"}
    assert bring(HERE) == folder and len(storage.read) == 2
    put(storage, **{"dog/b.png": b"22", "dog/c.png": b"6"})
    storage.store.delete("data/cat/a #1?.png")
    assert contents(bring(HERE)) == {"dog/b.png": b"22", "dog/c.png": b"6"}
    assert not (folder / "cat").exists()  # which would be a class without images
    assert storage.read[2:] in (["data/dog/b.png", "data/dog/c.png"], ["data/dog/c.png", "data/dog/b.png"])
    (folder / "dog/c.png").write_bytes(b"x")  # on the disk
    assert contents(bring(HERE))["dog/c.png"] == b"6"


def test_an_interrupted_download_keeps_what_it_has(storage):
    put(storage, a=b"1", b=b"2")

    def refuse(key):
        if key == "data/b":
            raise GenericError("error sending request")

    storage.before = refuse
    with pytest.raises(RemoteError, match=r"^s3://bucket/data/b: cannot be reached"):
        bring(HERE)
    storage.before = lambda key: None
    with next(storage_list(storage)).open("a") as file:
        file.write('["data/b", 1, ')  # a line of a process that was killed
    assert contents(bring(HERE)) == {"a": b"1", "b": b"2"}
    assert storage.read == ["data/a", "data/b"]


def storage_list(storage):
    import os
    from pathlib import Path

    return Path(os.environ["COMMITTEE_STORE_CACHE"]).glob("*/files.jsonl")


def test_a_file_that_changes_meanwhile_is_named(storage):
    put(storage, a=b"1")
    storage.before = lambda key: put(storage, a=b"2")
    with pytest.raises(RemoteError, match=r"^s3://bucket/data/a: expected a file that does not change while"):
        bring(HERE)
    storage.before = lambda key: storage.store.delete(key)
    with pytest.raises(RemoteError, match="got another version, or none"):
        bring(HERE)
    storage.before = lambda key: None
    put(storage, a=b"3")
    assert contents(bring(HERE)) == {"a": b"3"}


def test_a_file_comes_with_the_files_that_extend_its_name(storage):
    put(storage, **{"model.onnx": b"1", "model.onnx.data": b"2", "other.onnx": b"3"})
    path = bring(f"{HERE}/model.onnx")
    assert path.name == "model.onnx"
    assert contents(path.parent) == {"model.onnx": b"1", "model.onnx.data": b"2"}
    with pytest.raises(MismatchError) as caught, by_address():
        raise MismatchError.of([("a", "1", "2")], str(path), got=f"{path.parent}, 1")
    assert str(caught.value).startswith(f"{HERE}/model.onnx: got {HERE}, 1.") and caught.value.rows


@pytest.mark.parametrize("address", ["https://host/model.onnx", "memory://x/y"])
def test_other_addresses_are_refused(address):
    with pytest.raises(UsageError, match="expected a path, or an address of object storage: s3://"):
        bring(address)


def test_a_table_brings_the_files_that_it_names(storage, tmp_path):
    put(storage, **{"sets/labels.csv": b"", "sets/a.png": b"1", "images/b.png": b"2", "images/c.png": b"3"})
    folder = bring(f"{HERE}/sets/labels.csv").parent
    bring_named(folder, ["a.png", "../images/b.png", "none.png", "../../../../x.png", "/abs.png"])
    assert contents(folder.parent) == {"sets/a.png": b"1", "sets/labels.csv": b"", "images/b.png": b"2"}
    bring_named(tmp_path, ["a.png"])
    bring_named(folder / ".." / "images", ["c.png"])
    assert contents(folder.parent)["images/c.png"] == b"3"


def test_a_table_of_masks_brings_the_file_with_their_classes(storage):
    image = io.BytesIO()
    Image.fromarray(np.eye(8, dtype=np.uint8)).save(image, "png")
    put(storage, **{"sets/t.csv": b"path,mask\na.png,../masks/a.png\nb.png,../masks/b.png\n"})
    put(
        storage, **{f"{folder}/{name}.png": image.getvalue() for folder in ("sets", "masks") for name in "ab"}
    )
    put(storage, **{"masks/classes.txt": b"sky\nroad\n", "masks/other.txt": b""})
    samples = read(Settings(path=f"{HERE}/sets/t.csv"))
    assert samples.masks is not None and dict(samples.masks.classes) == {0: "sky", 1: "road"}


@pytest.mark.parametrize("address", [f"{HERE}/none", "s3://bucket/data/mod", "s3://bucket"])
def test_what_is_not_there_is_refused(address, storage):
    if address != "s3://bucket":
        put(storage, **{"model.onnx": b"1"})
    with pytest.raises(UsageError, match=rf"^{address}: the file or folder does not exist\. Correct the"):
        bring(address)


def test_keys_that_no_disk_can_have_are_refused(storage):
    put(storage, **{"a": b"1", "a/b": b"2", "c:d": b"3"})
    with pytest.raises(
        DataError, match=r"objects that can be files of a folder, got others: 'data/a/b', 'data/c:d'"
    ):
        bring(HERE)


def test_a_full_disk_is_named_before(storage, monkeypatch):
    put(storage, a=b"1")
    monkeypatch.setattr("committee.store.disk.free_bytes", lambda path: 0)
    with pytest.raises(StoreError, match="space"):
        bring(HERE)


def test_a_file_address_is_a_path(tmp_path):
    assert bring(tmp_path.as_uri()) == tmp_path
    with pytest.raises(CommitteeError, match="without credentials"):
        bring("s3://me:secret@bucket/a")
