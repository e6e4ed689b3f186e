import json
import os
import socket
import threading
import time

import pytest

from committee.store.lock import HeldError
from committee.store.remote.bucket import Bucket
from committee.store.remote.lease import LOCK, Lease
from committee.store.remote.refusals import RemoteError


class Lax(Bucket):
    """Storage that ignores the conditions of requests."""

    def _put(self, key, content, mode):
        return super()._put(key, content, "overwrite")


def test_a_second_writer_is_told_who_renews_the_lease(bucket):
    first, second = Lease(bucket, "one", seconds=2), Lease(bucket, "two")
    first.acquire()
    renewal = threading.Timer(0.1, first.renew)
    renewal.start()
    start = time.monotonic()
    with pytest.raises(HeldError) as caught:
        second.acquire()
    renewal.join()
    assert time.monotonic() - start < 1.5
    holder = f"got process {os.getpid()} on {socket.gethostname()}, since "
    assert str(caught.value).startswith(
        f"s3://bucket/cells: expected no other process that writes to it, {holder}"
    )
    assert str(caught.value).endswith("Wait until it ends, or name another store with --store.")


def test_a_lease_that_is_not_renewed_is_taken_and_its_holder_notices(bucket):
    first, second = Lease(bucket, "one", seconds=0.3), Lease(bucket, "two")
    first.acquire()
    start = time.monotonic()
    second.acquire()
    assert time.monotonic() - start >= 0.3
    first.renew()
    assert first.lost.startswith(f"process {os.getpid()} on ")
    first.release()  # which is not that of the second
    assert json.loads(bucket.read(LOCK).content)["token"] == second.token


def test_a_lease_that_was_given_back_or_left_by_the_same_copy_is_free_at_once(bucket):
    first, again, other = (Lease(bucket, name, seconds=60) for name in ("one", "one", "two"))
    first.acquire()
    again.acquire()
    again.release()
    other.acquire()


def test_a_lease_that_is_given_back_while_another_waits_is_free(bucket):
    first, second = Lease(bucket, "one", seconds=2), Lease(bucket, "two")
    first.acquire()
    threading.Timer(0.2, first.release).start()
    start = time.monotonic()
    second.acquire()
    assert time.monotonic() - start < 1.5


def test_storage_that_ignores_conditions_is_refused(bucket):
    with pytest.raises(RemoteError, match=r"If-Match\), got storage that ignores them\. Name a bucket of a"):
        Lease(Lax(bucket.address, bucket.store), "one").acquire()
    assert bucket.keys("") == []


def test_an_answer_that_is_lost_is_no_other_writer(bucket, monkeypatch):
    """The client repeats the request, which then fails by the first one."""
    put = Bucket._put

    def twice(self, key, content, mode):
        put(self, key, content, mode)
        return put(self, key, content, mode)

    lease = Lease(bucket, "one")
    monkeypatch.setattr(Lease, "_probe", lambda self: None)
    monkeypatch.setattr(Bucket, "_put", twice)
    lease.acquire()
    lease.renew()
    assert not lease.lost


@pytest.mark.parametrize("content", [b"", b"[]", b'{"token": 1, "seconds": "x"}', b"[" * 100_000])
def test_a_damaged_lease_expires_as_well(content, bucket, monkeypatch):
    monkeypatch.setattr("committee.store.remote.lease.SECONDS", 0.2)
    bucket.create(LOCK, content)
    Lease(bucket, "one").acquire()
