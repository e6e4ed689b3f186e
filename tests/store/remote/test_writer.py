import shutil
import signal
import subprocess
import sys
import time

import pytest

from committee.store.commit import PASSING, commit, remove, replacing_folder, write_json
from committee.store.copies import copy_of
from committee.store.layout import Store
from committee.store.lock import HeldError
from committee.store.manifest import is_done, read_manifest
from committee.store.remote import lease
from committee.store.remote.bucket import Bucket
from committee.store.remote.refusals import RemoteError
from committee.store.remote.working_copy import WorkingCopy

KILLED = """
import os, signal, sys
from committee.store.commit import commit
from committee.store.layout import Store
from committee.store.remote import lease
from committee.store.remote.bucket import Bucket
lease.SECONDS = 1
store, upload = Store(sys.argv[1], sys.argv[2]), Bucket.upload

def deadly(self, key, file):
    upload(self, key, file)
    if key.endswith("b.bin"):
        os.kill(os.getpid(), signal.SIGKILL)

with store.hold():
    Bucket.upload = deadly
    with commit(store.checkpoint("net", 0), kind="checkpoint", fingerprint="new") as folder:
        for name in "abc":
            (folder / f"{name}.bin").write_bytes(b"new" + name.encode())
"""


def put(store, text, member="net"):
    with commit(store.checkpoint(member, 0), kind="checkpoint", fingerprint=text) as folder:
        (folder / "a.bin").write_bytes(text.encode())
        (folder / "b.bin").write_bytes(text.encode())


def fingerprint(store, member="net"):
    return read_manifest(store.checkpoint(member, 0)).fingerprint


def names(bucket):
    return sorted(key.rpartition("/")[2] for key in bucket.keys("content/"))


def test_what_one_machine_commits_another_reads(machine, bucket):
    one = machine("one")
    with one.hold():
        put(one, "first")
        write_json(one.run_report(), {"a": 1})
        two = machine("two")  # while the first still writes
        assert two.members() == ("net",)
        assert fingerprint(two) == "first"
        put(one, "second")
        assert names(bucket) == ["a.bin", "b.bin", "manifest.json", "run.json"]
    assert fingerprint(machine("two")) == "second"
    with two.hold():
        remove(two.checkpoint("net", 0).parent)
        two.run_report().unlink()
    assert names(bucket) == []
    one = machine("one")
    assert one.members() == ()
    assert not one.run_report().exists()


def test_a_reader_downloads_a_folder_when_it_is_verified(machine):
    one = machine("one")
    with one.hold():
        put(one, "first")
    two = machine("two")
    folder = two.checkpoint("net", 0)
    assert [path.name for path in folder.iterdir()] == ["manifest.json"]
    assert read_manifest(folder, verify=False).files.keys() == {"a.bin", "b.bin"}
    assert is_done(folder, "first")
    assert (folder / "a.bin").read_bytes() == b"first"
    (folder / "a.bin").write_bytes(b"flaws")  # damage of the copy is repaired
    assert is_done(folder, "first")
    assert (folder / "a.bin").read_bytes() == b"first"


def test_caches_stay_on_their_machine_and_bundles_wait_until_they_are_used(machine, bucket):
    from committee.store.copies import fetch

    one = machine("one")
    with one.hold():
        with commit(one.cache("canvas-1"), kind="canvas", fingerprint="") as folder:
            (folder / "x").touch()
        with replacing_folder(one.bundle("net")) as folder:
            (folder / "model.onnx").write_bytes(b"1")
    assert names(bucket) == ["model.onnx"]
    two = machine("two")
    assert not two.bundle("net").exists()
    with two.hold():
        pass
    assert names(bucket) == ["model.onnx"]
    fetch(two.bundle("net") / "model.onnx")
    assert (two.bundle("net") / "model.onnx").read_bytes() == b"1"


def test_the_state_of_a_fit_is_uploaded_with_the_lease_and_at_the_end(machine, bucket, monkeypatch):
    monkeypatch.setattr(lease, "SECONDS", 0.4)
    one = machine("one")
    with one.hold():
        with commit(one.resume("net", 0), kind=PASSING, fingerprint="1") as folder:
            (folder / "state").touch()
        assert names(bucket) == []
        end = time.monotonic() + 5
        while names(bucket) == [] and time.monotonic() < end:
            time.sleep(0.02)
        assert "state" in names(bucket)
        shutil.rmtree(one.resume("net", 0))
    assert names(bucket) == []


def test_a_file_that_is_written_without_the_lock_is_uploaded_too(machine, bucket):
    one = machine("one")
    with one.hold():
        put(one, "first")
    write_json(one.root / "report.json", {})
    assert "report.json" in names(bucket)


def test_a_writer_that_lost_its_lease_changes_nothing(machine, bucket, monkeypatch):
    monkeypatch.setattr(lease, "SECONDS", 0.2)
    monkeypatch.setattr(lease, "RENEWALS", 0.001)  # as of a process that is suspended
    one, two = machine("one"), machine("two")

    def work():
        with one.hold():
            put(one, "first")
            with two.hold():
                put(two, "second")
            put(one, "third")

    with pytest.raises(HeldError) as caught:
        work()
    assert "expected the lease of this process, got one that was taken by " in str(caught.value)
    assert str(one.root) in str(caught.value)
    assert fingerprint(machine("three")) == "second"
    assert len(names(bucket)) == 3
    assert fingerprint(one) == "third"  # which is kept here
    monkeypatch.setattr(lease, "RENEWALS", 4)
    one = machine("one")
    assert fingerprint(one) == "second"  # also changed there: the other is used
    aside = next((one.root.parent / "set_aside").glob("*/checkpoints/net/fold_0/a.bin"))
    assert aside.read_bytes() == b"third"


def test_work_goes_on_without_the_network_and_is_uploaded_by_the_next_command(
    machine, bucket, monkeypatch, caplog
):
    one = machine("one")
    upload = Bucket.upload

    def fail(self, key, file):
        raise RemoteError(f"{self.address}: cannot be reached (no route to host)", todo="Check it.")

    def work():
        with one.hold():
            put(one, "first")
            monkeypatch.setattr(Bucket, "upload", fail)
            put(one, "second")
            put(one, "other", "net2")

    with pytest.raises(RemoteError) as caught:
        work()
    assert len([each for each in caplog.messages if "uploaded once it answers again" in each]) == 1
    assert str(caught.value) == (
        f"s3://bucket/cells: cannot be reached (no route to host). Results are kept in {one.root}: run the "
        "same command again to upload them."
    )
    assert fingerprint(machine("two")) == "first"
    monkeypatch.setattr(Bucket, "upload", upload)
    one = machine("one")
    assert fingerprint(one) == "second"
    with one.hold():
        pass
    two = machine("two")
    assert (fingerprint(two), fingerprint(two, "net2")) == ("second", "other")


def test_damage_on_the_storage_is_named_and_made_again(machine, bucket, caplog):
    one = machine("one")
    with one.hold():
        put(one, "first")
        write_json(one.run_report(), {"a": 1})
    for key in bucket.keys("content/"):
        if not key.endswith("b.bin"):
            bucket._put(key, b"x" * len(bucket.read(key).content), "overwrite")
    two = machine("two")
    assert two.members() == ()
    assert not two.run_report().exists()
    left_out = "is missing or damaged there and is left out: run the command that made it again"
    assert f"s3://bucket/cells/checkpoints/net/fold_0 {left_out}" in caplog.messages
    assert f"s3://bucket/cells/metrics/run.json {left_out}" in caplog.messages
    with two.hold():
        put(two, "first again")
    assert fingerprint(machine("three")) == "first again"
    (broken,) = (key for key in bucket.keys("content/") if key.endswith("a.bin"))
    bucket.delete([broken])
    four = machine("four")
    assert not is_done(four.checkpoint("net", 0), "first again")
    assert "checkpoints/net/fold_0: a file was removed while it was read" in caplog.text


def test_a_reader_meets_a_replacement(machine, bucket):
    one, two = machine("one"), machine("two")
    with one.hold():
        put(one, "first")
    two = machine("two")
    with one.hold():
        put(one, "second")
    assert fingerprint(two) == "second"  # the files of the first are gone: its index is read again


def test_a_store_whose_index_was_removed_is_uploaded_again(machine, bucket, caplog):
    one = machine("one")
    with one.hold():
        put(one, "first")
    bucket.delete(bucket.keys(""))
    one = machine("one")
    assert "its index was removed" in caplog.text
    with one.hold():
        pass
    assert fingerprint(machine("two")) == "first"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b'{"protocol": 1, "writer": "", "entries": {"../x": ["0123456789abcdef", "", 1, false]}}',
        b'{"protocol": 1, "writer": "", "entries": {"x": ["../../../a", "", 1, false]}}',
        b'{"protocol": 1, "writer": "", "entries": {".lock": ["0123456789abcdef", "", 1, false]}}',
        b'{"protocol": 9, "writer": "", "entries": {}}',
    ],
)
def test_an_index_that_is_none_is_refused(content, machine, bucket):
    from committee.errors import StoreError

    bucket.create("index.json", content)
    with pytest.raises(StoreError, match=r"^s3://bucket/cells/index\.json: expected (the|an) index of "):
        machine("one")


def test_a_writer_killed_in_an_upload_leaves_the_old_result(s3, tmp_path):
    first = Store(s3)
    with first.hold():
        put(first, "old")
    command = [sys.executable, "-c", KILLED, s3, str(tmp_path / "killed")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert ended.returncode == -signal.SIGKILL if sys.platform != "win32" else ended.returncode, ended.stderr
    bucket = copy_of(first.root).bucket
    assert len(names(bucket)) > 3
    reader = Store(s3, tmp_path / "reader")
    assert fingerprint(reader) == "old"
    start = time.monotonic()
    with reader.hold():  # after the lease of the killed one has expired
        assert time.monotonic() - start >= 0.9
        assert names(bucket) == ["a.bin", "b.bin", "manifest.json"]
        assert fingerprint(reader) == "old"
    again = WorkingCopy(next((tmp_path / "killed").iterdir()))
    assert read_manifest(again.root / "checkpoints/net/fold_0").fingerprint == "new"
    with Store(again.root).hold():  # the machine of the killed one uploads what it had committed
        pass
    assert fingerprint(Store(s3, tmp_path / "third")) == "new"
