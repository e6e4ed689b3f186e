import errno
import json
import os
import re
import socket
import subprocess
import sys

import pytest

from committee.errors import StoreError
from committee.store import lock

HOLDER = """
import sys, time
from pathlib import Path
from committee.store.lock import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_held_store_names_its_holder_and_a_dead_one_frees_it(tmp_path):
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StoreError) as caught, lock.hold(tmp_path):
            pass
        holder.kill()
    since = r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d"
    assert re.fullmatch(
        f"{re.escape(str(tmp_path.resolve()))}: expected no other process that writes to it, "
        f"got process {holder.pid} on {re.escape(socket.gethostname())}, since {since}: "
        f"-c .*{re.escape(tmp_path.name)}.* "
        "Wait until it ends, or name another store with --store.",
        str(caught.value),
    ), str(caught.value)
    with lock.hold(tmp_path):
        record = json.loads((tmp_path / ".lock").read_text(encoding="utf-8"))
        assert record["pid"] == os.getpid()


def test_a_block_inside_a_block_is_free(tmp_path):
    with lock.hold(tmp_path):
        with lock.hold(tmp_path):
            pass
        assert lock.holds(tmp_path)
    assert not lock.holds(tmp_path)


def test_a_store_that_cannot_be_written_fails_at_the_start(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StoreError) as caught, lock.hold(tmp_path / "file"):
        pass
    assert str(caught.value).startswith(f"{tmp_path / 'file'}: not writable (")
    assert str(caught.value).endswith(" Make it writable, or name another folder with --store.")


def test_a_lock_that_is_a_link_is_refused(tmp_path):
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "store").mkdir()
    try:
        (tmp_path / "store" / ".lock").symlink_to(tmp_path / "mine.txt")
    except OSError:
        pytest.skip("this system makes no links")
    with (
        pytest.raises(StoreError, match=r"names of files in this folder, got '\.lock'"),
        lock.hold(tmp_path / "store"),
    ):
        pass
    assert (tmp_path / "mine.txt").read_text(encoding="utf-8") == "mine"


def test_a_file_system_without_locks_is_named_as_such(tmp_path, monkeypatch):
    def without(file: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(lock, "_lock", without)
    with pytest.raises(StoreError) as caught, lock.hold(tmp_path):
        pass
    assert str(caught.value) == (
        f"{tmp_path.resolve()}: expected a file system with file locks, got no locks available. "
        "Name a store on another disk with --store."
    )


@pytest.mark.parametrize("record", ["", "[]", "{", '{"pid": []}', '{"pid": 1}', "\udcff", "[" * 5000])
def test_an_odd_record_of_the_holder_is_another_process(tmp_path, monkeypatch, record):
    def held(file: object) -> None:
        raise OSError(errno.EWOULDBLOCK, "held")

    (tmp_path / ".lock").write_text(record, encoding="utf-8", errors="surrogateescape")
    monkeypatch.setattr(lock, "_lock", held)
    with (
        pytest.raises(StoreError, match=r"no other process that writes to it, got another process\. Wait"),
        lock.hold(tmp_path),
    ):
        pass
