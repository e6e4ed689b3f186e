import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from committee.errors import ProtocolError, StoreError
from committee.store import manifest as module
from committee.store.commit import commit
from committee.store.manifest import OLD, digest, is_done, read_manifest, read_whole


@pytest.fixture
def folder(tmp_path):
    with commit(tmp_path / "thing", kind="checkpoint", fingerprint="abc", epochs=3) as new:
        (new / "weights.bin").write_bytes(b"0123456789")
    return tmp_path / "thing"


def refused(folder: Path) -> str:
    with pytest.raises(StoreError) as caught:
        read_manifest(folder)
    return str(caught.value)


def test_a_manifest_says_what_and_from_what(folder):
    manifest = read_manifest(folder)
    assert (manifest.kind, manifest.fingerprint, manifest.facts) == ("checkpoint", "abc", {"epochs": 3})
    assert manifest.files["weights.bin"]["size"] == 10


def test_a_flipped_byte_is_found(folder):
    (folder / "weights.bin").write_bytes(b"0123456780")
    assert refused(folder) == (
        f"{folder / 'weights.bin'}: expected the content that was stored, got other bytes. "
        "Run the command that made it again."
    )


def test_a_truncated_file_is_found(folder):
    (folder / "weights.bin").write_bytes(b"01234")
    assert refused(folder) == (
        f"{folder / 'weights.bin'}: expected 10 bytes, got 5 bytes. Run the command that made it again."
    )


def test_a_missing_file_is_found(folder):
    (folder / "weights.bin").unlink()
    assert refused(folder) == (
        f"{folder / 'weights.bin'}: the file does not exist. Run the command that made it again."
    )


def test_a_folder_without_manifest_is_no_entry(tmp_path):
    assert refused(tmp_path) == (
        f"{tmp_path / 'manifest.json'}: the file does not exist. "
        "Remove its folder and run the command that made it again."
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-20],
        lambda text: text.replace("abc", "abd"),
        lambda text: "[]",
        lambda text: "",
        lambda text: text.replace('"epochs"', '"epoch"'),
        lambda text: "[" * 100_000,
    ],
)
def test_a_damaged_manifest_is_refused(folder, change):
    path = folder / "manifest.json"
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    assert refused(folder) == (
        f"{path}: expected an intact manifest, got a damaged one. "
        "Remove its folder and run the command that made it again."
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def sealed(folder: Path, record: dict[str, object]) -> None:
    """Write a manifest with a valid digest, as an attacker could."""
    text = json.dumps({**record, "digest": digest(record)})
    (folder / "manifest.json").write_text(text, encoding="utf-8")


@given(JSON)
def test_nothing_but_our_error_comes_out_of_any_json(tmp_path_factory, value):
    folder = tmp_path_factory.getbasetemp()
    (folder / "manifest.json").write_text(json.dumps(value), encoding="utf-8")
    refused(folder)


@settings(max_examples=60)
@given(
    st.fixed_dictionaries(
        {
            "protocol": st.just(2) | JSON,
            "kind": st.just("x") | JSON,
            "fingerprint": st.just("y") | JSON,
            "files": st.dictionaries(
                st.text(min_size=1) | st.sampled_from(["../x", "/etc", "a\ud800", "x" * 999]),
                st.just({"sha256": "0", "size": 0}) | JSON,
                min_size=1,
            ),
            "facts": st.just({}) | JSON,
        }
    )
)
def test_nothing_but_our_error_comes_out_of_a_stranger_s_manifest(tmp_path_factory, record):
    folder = tmp_path_factory.getbasetemp()
    try:
        sealed(folder, record)
    except ValueError:  # NaN is not valid JSON
        return
    refused(folder)


@given(st.binary())
def test_nothing_but_our_error_comes_out_of_any_bytes(tmp_path_factory, content):
    folder = tmp_path_factory.getbasetemp()
    (folder / "manifest.json").write_bytes(content)
    refused(folder)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_in_the_place_of_a_file_does_not_block(folder):
    (folder / "weights.bin").unlink()
    os.mkfifo(folder / "weights.bin")
    assert refused(folder).startswith(f"{folder / 'weights.bin'}: the file does not exist")
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")
    assert refused(folder).startswith(
        f"{folder / 'manifest.json'}: expected an intact manifest, got something other than a file."
    )


def test_a_file_that_cannot_be_read_is_named(folder, monkeypatch):
    def failing(path: Path) -> str:
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr(module, "hash_file", failing)
    assert refused(folder) == (
        f"{folder / 'weights.bin'}: the file cannot be read (input/output error). "
        "Run the command that made it again."
    )


def test_a_folder_that_is_replaced_is_waited_for(folder, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", module.PATIENCE * 50)
    away = folder.with_name(f".thing.abcd{OLD}")
    folder.rename(away)

    def put_back() -> None:
        time.sleep(0.05)
        away.rename(folder)

    writer = threading.Thread(target=put_back)
    writer.start()
    assert read_manifest(folder).fingerprint == "abc"
    writer.join()


def test_what_is_replaced_while_it_is_loaded_is_loaded_again(folder):
    seen = []

    def load(folder: Path) -> bytes:
        content = (folder / "weights.bin").read_bytes()
        seen.append(content)
        if len(seen) < 3:
            with commit(folder, kind="checkpoint", fingerprint=str(len(seen))) as new:
                (new / "weights.bin").write_bytes(b"newer %d" % len(seen))
        return content

    assert read_whole(folder, load) == b"newer 2"
    assert seen == [b"0123456789", b"newer 1", b"newer 2"]


def test_what_cannot_be_loaded_although_it_is_whole_says_so(folder):
    def load(folder: Path) -> None:
        raise StoreError("weights", expected="something", got="nothing")

    with pytest.raises(StoreError, match="weights: expected something, got nothing"):
        read_whole(folder, load)


READER = """
import sys
from pathlib import Path
from committee.store import manifest
from committee.store.manifest import read_whole
# Real writers do not replace a folder continuously, so a reader on a busy machine needs more attempts here.
manifest.PATIENCE *= 50
seen = set()
while len(seen) < 12:
    def load(folder):
        first = (folder / "a.bin").read_bytes()
        return first, (folder / "b.bin").read_bytes()
    first, second = read_whole(Path(sys.argv[1]), load)
    assert first == second and len(set(first)) == 1
    seen.add(first[0])
"""


def test_a_reader_sees_whole_folders_while_a_writer_replaces_them(tmp_path):
    folder, number = tmp_path / "thing", 0

    def put() -> None:
        with commit(folder, kind="x", fingerprint=str(number)) as new:
            for name in ("a.bin", "b.bin"):
                (new / name).write_bytes(bytes([number % 256]) * 1000)

    put()
    command = [sys.executable, "-c", READER, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as reader:
        while reader.poll() is None:
            number += 1
            put()
        _, err = reader.communicate()
    assert reader.returncode == 0, err


def test_what_is_replaced_each_time_is_given_up(folder, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE", (0.0, 0.0))
    editions = iter(range(99))

    def load(folder: Path) -> None:
        with commit(folder, kind="checkpoint", fingerprint=str(next(editions))):
            pass

    with pytest.raises(
        StoreError, match="that does not change while it is read, got one that is replaced repeatedly"
    ):
        read_whole(folder, load)


@pytest.mark.parametrize(("protocol", "age"), [(1, "an older"), (99, "a newer")])
def test_another_protocol_is_refused_and_never_made_again(folder, protocol, age):
    path = folder / "manifest.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    del record["digest"]
    sealed(folder, {**record, "protocol": protocol})
    assert refused(folder) == (
        f"{path}: expected a store of protocol 2, got protocol {protocol} of {age} version of committee. "
        "Name a new folder with --store, or install that version to read this one."
    )
    with pytest.raises(ProtocolError):
        is_done(folder, "abc")


def test_done_means_whole_and_made_from_the_same(folder, caplog):
    assert is_done(folder, "abc")
    assert not is_done(folder.with_name("none"), "abc")
    assert caplog.messages == []
    assert not is_done(folder, "other")
    assert caplog.messages == [f"{folder} was made with other settings or data and is made again"]
    (folder / "weights.bin").write_bytes(b"")
    assert not is_done(folder, "abc")


def test_a_digest_is_of_values_not_of_their_order_or_types():
    assert digest({"a": 1, "b": (2, 3)}) == digest({"b": [2, 3], "a": np.int64(1)})
    assert digest(np.array(["x", "y"])) == digest(["x", "y"])
    assert digest({"a": 1}) != digest({"a": 1.5})
    with pytest.raises(TypeError, match="object cannot be converted to JSON"):
        digest(object())
