import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from committee.errors import StoreError
from committee.store.commit import commit
from committee.store.manifest import digest, inside, is_done, read_manifest


@pytest.fixture
def folder(tmp_path):
    with commit(tmp_path / "thing", kind="checkpoint", made_from="abc", epochs=3) as new:
        (new / "weights.bin").write_bytes(b"0123456789")
    return tmp_path / "thing"


def refused(folder: Path) -> str:
    with pytest.raises(StoreError) as caught:
        read_manifest(folder)
    return str(caught.value)


def test_a_manifest_says_what_and_from_what(folder):
    manifest = read_manifest(folder)
    assert (manifest.kind, manifest.made_from, manifest.facts) == ("checkpoint", "abc", {"epochs": 3})
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
        f"{folder / 'weights.bin'}: expected a file that the manifest names, got none. "
        "Run the command that made it again."
    )


def test_a_folder_without_manifest_is_no_entry(tmp_path):
    assert refused(tmp_path) == (
        f"{tmp_path / 'manifest.json'}: expected a manifest, got none. "
        "Remove its folder and run the command that made it again."
    )


@pytest.mark.parametrize("change", [
    lambda text: text[:-20], lambda text: text.replace("abc", "abd"), lambda text: "[]", lambda text: "",
    lambda text: text.replace('"epochs"', '"epoch"'), lambda text: "[" * 100_000,
])  # fmt: skip
def test_a_damaged_manifest_is_refused(folder, change):
    path = folder / "manifest.json"
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    assert refused(folder) == (
        f"{path}: expected an intact manifest, got a damaged one. "
        "Remove its folder and run the command that made it again."
    )


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))  # fmt: skip
def test_nothing_but_our_error_comes_out_of_any_json(tmp_path_factory, value):
    folder = tmp_path_factory.mktemp("any")
    (folder / "manifest.json").write_text(json.dumps(value), encoding="utf-8")
    refused(folder)


def test_a_newer_protocol_is_named(folder):
    path = folder / "manifest.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["protocol"] = 99
    del record["digest"]
    path.write_text(json.dumps({**record, "digest": digest(record)}), encoding="utf-8")
    assert refused(folder) == (
        f"{path}: expected protocol 1 or older, got 99. Install the newer committee that wrote it."
    )


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "C:\\x", "C:/x", "..\\x", "", "a\0b"])
def test_no_name_leads_outside(tmp_path, name):
    with pytest.raises(StoreError) as caught:
        inside(tmp_path, name)
    assert str(caught.value) == (
        f"{tmp_path / 'manifest.json'}: expected files inside its own folder, got {name!r}. "
        "Remove the folder: it was not made by committee."
    )


def test_no_link_leads_outside(tmp_path):
    (tmp_path / "real").mkdir()
    try:
        (tmp_path / "link").symlink_to(tmp_path / "real")
    except OSError:
        pytest.skip("this system makes no links")
    with pytest.raises(StoreError, match="expected files inside its own folder, got 'link/x'"):
        inside(tmp_path, "link/x")
    assert inside(tmp_path, "real/x") == tmp_path / "real" / "x"


def test_done_means_whole_and_made_from_the_same(folder, caplog):
    assert is_done(folder, "abc")
    assert not is_done(folder.with_name("none"), "abc")
    assert caplog.messages == []
    assert not is_done(folder, "other")
    assert caplog.messages == [f"{folder} was made from other settings or data: it is made again"]
    (folder / "weights.bin").write_bytes(b"")
    assert not is_done(folder, "abc")


def test_a_digest_is_of_values_not_of_their_order_or_types():
    assert digest({"a": 1, "b": (2, 3)}) == digest({"b": [2, 3], "a": np.int64(1)})
    assert digest(np.array(["x", "y"])) == digest(["x", "y"])
    assert digest({"a": 1}) != digest({"a": 1.5})
    with pytest.raises(TypeError, match="object is no JSON value"):
        digest(object())
