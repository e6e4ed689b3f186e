"""Processes that end while requests are on their way: none is aborted (SIGABRT is exit code 134)."""

import subprocess
import sys

import pytest

READING = """
import os, threading, time
from datetime import timedelta
from committee.images.remote import RemoteFile
from committee.store.remote import client
client.RETRY = timedelta(0)

def read():
    while True:
        try:
            RemoteFile("s3://bucket/a.png").read_bytes()
        except Exception:
            pass

for _ in range(16):
    threading.Thread(target=read, daemon=True).start()
time.sleep(0.3)
"""

WRITING = """
import sys, time
from datetime import timedelta
from pathlib import Path
from obstore.store import MemoryStore
from committee.errors import CommitteeError
from committee.store import copies
from committee.store.commit import write_json
from committee.store.layout import Store
from committee.store.remote import client, lease
from committee.store.remote.bucket import Bucket
from committee.store.remote.working_copy import WorkingCopy
client.RETRY, lease.SECONDS = timedelta(0), 0.2
bucket = Bucket("s3://bucket/cells", MemoryStore())
copy = WorkingCopy(Path(sys.argv[1]), bucket.address, bucket)
copies._open[copy.root] = copy
store = Store(copy.root)
try:
    with store.hold():
        write_json(store.run_report(), {"a": 1})
        bucket.store = client.open_client(bucket.address)  # the server is gone
        write_json(store.run_report(), {"a": 2})
        time.sleep(0.2)
except CommitteeError as error:
    print(error)
    sys.exit(error.exit_code)
"""


@pytest.fixture(autouse=True)
def _no_server(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


def ended(program, *arguments):
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_process_ends_while_its_threads_read():
    """The threads of obstore's own file system panicked in nearly each of such processes."""
    done = ended(READING)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_writer_whose_server_is_gone_ends_with_its_error(tmp_path):
    done = ended(WRITING, tmp_path.resolve())
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith(
        "s3://bucket/cells: cannot be reached (Error performing PUT http://127.0.0.1:9"
    )
    assert f"Results are kept in {tmp_path.resolve()}" in done.stdout and "panicked" not in done.stderr
