import http.server
import os
import sys
import threading
import time
from datetime import timedelta

import pytest

from committee.errors import DependencyError, UsageError
from committee.store.layout import Store
from committee.store.remote import bucket as buckets
from committee.store.remote import client
from committee.store.remote.bucket import open_bucket
from committee.store.remote.refusals import RemoteError, refusal


class Refusing(http.server.BaseHTTPRequestHandler):
    """A server that answers each request with the status and the code of its address."""

    def do_GET(self):
        status, code = self.path.split("/")[1].split("-")
        body = f"<Error><Code>{code}</Code><Message>no way.</Message></Error>".encode()
        self.send_response(int(status))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_GET

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def refusing():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (
            "403-AccessDenied",
            "expected the permission to list, read, write and delete, got AccessDenied: no way. Allow that "
            "for these credentials, or name another address.",
        ),
        (
            "403-InvalidAccessKeyId",
            "expected valid credentials, got InvalidAccessKeyId: no way. Set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or install boto3 and set AWS_PROFILE, then run the same command again.",
        ),
        (
            "400-ExpiredToken",
            "expected credentials that have not expired, got ExpiredToken: no way. Renew them (of a session, "
            "AWS_SESSION_TOKEN as well), then run the same command again.",
        ),
        (
            "403-RequestTimeTooSkewed",
            "expected the time of the server, got RequestTimeTooSkewed: no way. Set the clock of this "
            "machine, then run the same command again.",
        ),
        (
            "400-AuthorizationHeaderMalformed",
            "expected the region of the bucket, got AuthorizationHeaderMalformed: no way. Set AWS_REGION to "
            "the region of the bucket, then run the same command again.",
        ),
        (
            "404-NoSuchBucket",
            "expected a bucket that exists, got none of this name. Create it, or correct the address.",
        ),
        (
            "501-NotImplemented",
            "expected storage with conditional writes (If-None-Match and If-Match), got NotImplemented: no "
            "way. Name a bucket of a service that has them, such as Amazon S3, Google Cloud Storage, Azure, "
            "Cloudflare R2 or MinIO, or a local store.",
        ),
        (
            "400-Odd",
            "cannot be reached (Odd: no way). Check the network and the address of the server, then run the "
            "same command again.",
        ),
    ],
)
def test_what_a_server_refuses_is_one_sentence(answer, sentence, refusing, s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"{refusing}/{answer}")
    monkeypatch.setattr(client, "RETRY", timedelta(0))
    for request in (lambda: Store("s3://bucket/x"), lambda: open_bucket("s3://bucket/x").create("a", b"")):
        with pytest.raises(RemoteError) as caught:
            request()
        assert str(caught.value).removeprefix("s3://bucket/x: ") == sentence


def test_a_region_that_the_server_names_is_in_the_advice():
    answer = "<Code>AuthorizationHeaderMalformed</Code><Message>the region 'us-east-1' is wrong; expecting"
    error = refusal("s3://bucket", "s3", OSError(f"{answer} 'eu-west-1'</Message>"))
    assert "Set AWS_REGION to the region of the bucket, eu-west-1, then" in str(error)


@pytest.mark.parametrize(
    ("address", "variable", "todo"),
    [
        ("s3://bucket/x", "AWS_METADATA_ENDPOINT", "Set AWS_ACCESS_KEY_ID"),
        ("gs://bucket/x", "GCE_METADATA_HOST", "Set GOOGLE_APPLICATION_CREDENTIALS"),
        ("az://bucket/x", "AZURE_MSI_ENDPOINT", "Set AZURE_STORAGE_ACCOUNT_NAME"),
    ],
)
def test_without_credentials_the_variables_are_named_at_once(address, variable, todo, tmp_path, monkeypatch):
    for name in os.environ:
        if name.startswith(("AWS_", "GOOGLE_", "AZURE_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setitem(client.METADATA, client.kind_of(address), (variable, "http://127.0.0.1:9"))
    start = time.monotonic()
    with pytest.raises(RemoteError, match=f"expected credentials, got none in the environment. {todo}"):
        Store(address)
    assert time.monotonic() - start < 5


def test_a_server_that_is_not_there_is_one_sentence_and_exit_code_1(s3, cli, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(client, "RETRY", timedelta(0))
    said = cli("leaderboard", "--store", s3)
    assert said.code == 1
    assert said.err.startswith(
        f"committee: {s3}: cannot be reached (Error performing GET http://127.0.0.1:9/"
    )
    assert said.err.count("\n") == 1


@pytest.mark.parametrize("address", ["http://host/x", "memory://x"])
def test_storage_without_conditions_is_refused(address):
    with pytest.raises(
        RemoteError, match=r"got storage without them, or of this process alone \((http|memory)"
    ):
        Store(address)


def test_an_unknown_scheme_is_refused():
    with pytest.raises(
        UsageError, match=r"such as s3://bucket/prefix, gs:// or az://, got the scheme 'hdfs'"
    ):
        Store("hdfs://host/x")


def test_without_the_client_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(DependencyError, match=r"s3://bucket/x: .*pip install 'committee\[cloud\]'"):
        Store("s3://bucket/x")


def test_a_profile_that_does_not_exist_is_named(s3, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(UsageError, match=r"^AWS_PROFILE: .*nobody.* Set AWS_ACCESS_KEY_ID"):
        Store("s3://bucket/x")


def test_a_large_file_is_moved_in_parts(s3, tmp_path, monkeypatch):
    monkeypatch.setattr(buckets, "PART", 2**20)
    content = bytes(range(256)) * 2**15
    (tmp_path / "up").write_bytes(content)
    bucket = open_bucket(s3)
    bucket.upload("a/large", tmp_path / "up")
    bucket.download("a/large", tmp_path / "down", len(content))
    assert (tmp_path / "down").read_bytes() == content
    bucket.delete(["a/large", "a/none"])
    assert bucket.keys("a/") == []
