import json
import os
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
    assert str(caught.value) == (
        f"{tmp_path.resolve()}: expected to be its only writer, got a run of process {holder.pid} "
        f"on {socket.gethostname()}. Wait until it ends, or name another store with --store."
    )
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
    assert str(caught.value).startswith(
        f"{tmp_path / 'file'}: expected a folder that can be written to, got "
    )
    assert str(caught.value).endswith(" Make it writable, or name another with --store.")
