import contextlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from committee.errors import DataError, StoreError
from committee.untrusted.documents import build, read_json


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "a damaged one"),
        (b"{", "a damaged one"),
        (b"[]", "a damaged one"),
        (b"\xff", "a damaged one"),
        (b"[" * 200_000, "a damaged one"),
        (b'{"a": ' + b"9" * 5000 + b"}", "a damaged one"),
    ],
)
def test_what_is_no_object_is_one_sentence(tmp_path, content, got):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(StoreError) as caught:
        read_json(tmp_path / "a.json", "the facts", "Do it again.")
    assert str(caught.value) == f"{tmp_path / 'a.json'}: expected the facts, got {got}. Do it again."


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(StoreError) as caught:
        read_json(tmp_path / "a.json", "the facts", "Do it again.")
    assert str(caught.value) == f"{tmp_path / 'a.json'}: the file does not exist. Do it again."


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(StoreError, match="expected the facts, got something other than a file"):
        read_json(tmp_path / "a.json", "the facts")


@given(st.binary())
def test_nothing_but_our_error_comes_out(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "a.json"
    path.write_bytes(content)
    with contextlib.suppress(StoreError):
        assert isinstance(read_json(path, "the facts"), dict)


def test_what_is_missing_is_said_and_our_errors_pass(tmp_path):
    with pytest.raises(StoreError) as caught:
        build(lambda: {}["name"], tmp_path, "a description")  # type: ignore[misc]
    assert str(caught.value) == f"{tmp_path}: expected a description, got invalid content (KeyError: 'name')."

    def refuse() -> None:
        raise DataError("x", expected="y", got="z")

    with pytest.raises(DataError):
        build(refuse, tmp_path, "a description")
