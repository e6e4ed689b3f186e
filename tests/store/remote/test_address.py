from pathlib import Path

import pytest

from committee.errors import UsageError
from committee.store.layout import Store
from committee.store.remote.address import copy_folder, is_address, local_path, normalized


@pytest.mark.parametrize("path", ["store", "./a:b", "C:/store", "C:\\store", "/data/s3:/x", ""])
def test_paths_are_no_addresses(path):
    assert not is_address(path)


def test_a_file_address_is_a_folder(tmp_path):
    assert local_path(normalized(f"file://{tmp_path.as_posix()}")) == tmp_path
    assert Store(tmp_path.as_uri()).root == tmp_path


@pytest.mark.parametrize("bad", ["s3://", "s3://me:secret@bucket/x", "s3://bucket/../x", "s3://bucket?x=1"])
def test_an_address_with_anything_else_than_a_place_is_refused_without_its_secret(bad):
    for given in (bad, Path(bad)):  # which keeps one slash of two
        with pytest.raises(UsageError) as caught:
            normalized(given)
        text = str(caught.value)
        assert text.startswith("address: expected an address such as s3://bucket/prefix, without credentials")
        assert "secret" not in text


def test_servers_have_working_copies_of_their_own(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://one")
    one = copy_folder("s3://bucket/a", tmp_path)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://two")
    assert one.parent == tmp_path.resolve()
    assert one != copy_folder("s3://bucket/a", tmp_path)


def test_the_default_is_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.delenv("COMMITTEE_STORE_CACHE", raising=False)
    assert copy_folder("s3://bucket/a").parent == (tmp_path / ".cache/committee/stores").resolve()
