"""A server of the S3 API on this machine, and machines that share a store in memory."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from committee.store import copies
from committee.store.layout import Store
from committee.store.remote.bucket import Bucket
from committee.store.remote.working_copy import WorkingCopy


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of a server with a bucket named `bucket`."""
    boto3 = pytest.importorskip("boto3")
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
    session = boto3.Session("key", "secret", region_name="us-east-1")
    session.client("s3", endpoint_url=url).create_bucket(Bucket="bucket")
    yield url
    server.stop()


@pytest.fixture
def s3(s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an empty store on that server, for which the environment is set up."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("COMMITTEE_STORE_CACHE", str(tmp_path / "here"))
    yield f"s3://bucket/{uuid.uuid4().hex}"
    copies._open.clear()


@pytest.fixture
def bucket() -> Bucket:
    """An empty bucket in memory."""
    from obstore.store import MemoryStore

    return Bucket("s3://bucket/cells", MemoryStore())


@pytest.fixture
def machine(bucket: Bucket, tmp_path: Path) -> Iterator[Callable[[str], Store]]:
    """Return the store of that bucket as a machine sees it, by the name of the machine."""
    here: dict[str, WorkingCopy] = {}

    def make(name: str) -> Store:
        folder = (tmp_path / name).resolve()
        copy = here.setdefault(name, WorkingCopy(folder, bucket.address, bucket))
        copies._open[copy.root] = copy
        copy.refresh()
        return Store(copy.root)

    yield make
    copies._open.clear()
