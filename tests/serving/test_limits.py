"""Limits, tokens and faults: each request gets a sentence, and the server goes on."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import httpx
import numpy as np
import pytest

from committee.errors import UsageError
from committee.images import workers
from committee.serving import body
from committee.serving.limits import Limits
from committee.serving.server import bind

from .conftest import running, small

pytestmark = pytest.mark.slow

TOKEN = "a-token-of-many-characters"
HALF = np.array([[0.5, 0.5]], np.float32)
PIXEL = {"name": "images", "datatype": "UINT8", "shape": [1, 3, 1, 1], "data": [0, 0, 0]}


def raw(server: Any, text: bytes, seconds: float = 10) -> bytes:
    """Send bytes over a connection, and return all that comes until the server closes it."""
    host, port = server.http.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=seconds) as connection:
        connection.sendall(text)
        found = b""
        while part := connection.recv(65536):
            found += part
    return found


def test_overload_slow_clients_and_a_model_that_hangs(monkeypatch):
    monkeypatch.setattr(body, "PAUSE", 0.2)
    limits, may_run = Limits(seconds=0.5, queue=2, decoders=1, batch=1), threading.Event()

    def wait(images: Any) -> Any:
        may_run.wait(20)
        return HALF.repeat(len(images), 0)

    served = small(wait, limits)
    with running([served], limits) as server:
        infer = "/v2/models/small/infer"
        three = {**PIXEL, "shape": [3, 3, 1, 1], "data": [0] * 9}
        answer = server.client.post(infer, json={"inputs": [three]})
        assert answer.status_code == 503 and answer.headers["Retry-After"] == "1"
        codes: list[int] = []

        def send() -> None:
            codes.append(
                httpx.post(server.http + infer, json={"inputs": [PIXEL]}, trust_env=False).status_code
            )

        threads = [threading.Thread(target=send) for _ in range(2)]
        for thread in threads:
            thread.start()
        while server.service.admitted < 2:
            time.sleep(0.01)
        answer = server.client.post(infer, json={"inputs": [PIXEL]})
        assert (answer.status_code, answer.headers["Retry-After"], answer.json()["error"]) == (
            503,
            "1",
            "the server: 2 images are waiting. Try again in a second.",
        )
        for thread in threads:
            thread.join()
        assert codes == [503, 503]
        while server.service.admitted or not served.is_stuck:
            time.sleep(0.01)
        assert server.client.get("/v2/health/ready").status_code == 503
        assert server.client.get("/v2/health/live").json() == {"live": False}
        head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        assert raw(server, head[:40]) == b""  # The header never ends.
        slow = raw(server, head + b"Content-Length: 9\r\n\r\nabc")
        assert (
            slow.startswith(b"HTTP/1.1 408")
            and b"expected a body within 0.5 s, without a pause of 0.2 s, got a slower one." in slow
        )
        may_run.set()
        while served.is_stuck:
            time.sleep(0.01)
        assert server.client.post(infer, json={"inputs": [PIXEL]}).status_code == 200
        assert server.client.get("/v2/health/ready").json() == {"ready": True}


def test_a_call_that_takes_too_long_is_stopped_if_the_model_can_be():
    limits, stopped = Limits(seconds=0.2, decoders=1), threading.Event()

    def wait(images: Any) -> Any:
        assert stopped.wait(20)
        return HALF

    served = small(wait, limits)
    served.model.stop = stopped.set
    with running([served], limits) as server:
        answer = server.client.post("/v2/models/small/infer", json={"inputs": [PIXEL]})
        assert (answer.status_code, answer.json()["error"]) == (
            503,
            "the server: no answer within 0.2 s. Try again in a second.",
        )
        assert stopped.wait(10)
        while served.is_stuck:
            time.sleep(0.01)
        assert server.client.post("/v2/models/small/infer", json={"inputs": [PIXEL]}).status_code == 200


def test_a_model_that_fails_or_returns_nonsense_is_an_error_of_the_server():
    limits, answers = Limits(decoders=1), [RuntimeError("no memory"), HALF * np.nan, HALF]

    def call(images: Any) -> Any:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    with running([small(call, limits)], limits) as server:
        found = [server.client.post("/v2/models/small/infer", json={"inputs": [PIXEL]}) for _ in range(3)]
    assert [each.status_code for each in found] == [500, 500, 200]
    assert found[0].json() == {"error": "the server: it failed. Its log has the reason."}
    assert "expected 2 values from small, got NaN or infinity." in found[1].json()["error"]


CRASH, SAID = ("ctypes.string_at(0)", "signal 11") if os.name == "posix" else ("os._exit(9)", "exit code 9")
FATAL = f"""
import ctypes, os
from committee.images import decoder
decode = decoder.decode
decoder.decode = lambda source, channels: {CRASH} if b"fatal" in source else decode(source, channels)
decoder.main()
"""


def test_photos_that_crash_their_decoder_and_a_killed_decoder(monkeypatch, photo):
    monkeypatch.setattr(workers, "COMMAND", (sys.executable, "-c", FATAL))
    limits, content = Limits(decoders=1), photo.read_bytes()
    with running([small(lambda images: HALF.repeat(len(images), 0), limits)], limits) as server:
        answer = server.post(b"\x89PNG\r\n\x1a\nfatal")
        assert (answer.status_code, answer.json()["error"]) == (
            400,
            "the photo: expected a JPEG, PNG or WebP image, got an image that crashed its process "
            f"({SAID}) 4 times. Replace it or leave it out.",
        )
        assert server.post(content).status_code == 200
        (worker,) = server.service.photos._workers._all
        worker._process.kill()
        assert server.post(content).status_code == 200


def test_bad_requests_are_refused_before_decoders_and_parsers_and_keep_their_connection(server, monkeypatch):
    monkeypatch.setattr("committee.serving.photos.Photos._decode", None)
    monkeypatch.setattr("json.loads", None)
    host, port = server.http.removeprefix("http://").split(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as connection,
        connection.makefile("rb") as file,
    ):
        for path, kind, body, status, said in (
            ("/predict", "image/png", b"GIF89a", 400, b"got a GIF image"),
            ("/predict", "text/html", b"GIF89a", 415, b"got 'text/html'"),
            ("/v2/models/pets/infer", "application/json", b"[" * 900, 400, b"got invalid JSON"),
        ):
            head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\n"
            connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            assert file.readline().split()[1] == str(status).encode()
            lines = dict(line.split(b": ", 1) for line in iter(file.readline, b"\r\n"))
            assert said in file.read(int(lines[b"content-length"]))


def test_a_header_that_is_too_large_ends_the_connection(server):
    found = raw(server, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000)
    assert (
        found.startswith(b"HTTP/1.1 400") and b"The header: expected at most 16384 bytes, got more." in found
    )


def test_many_failures_are_few_lines_of_the_log(caplog):
    limits = Limits(decoders=1)

    def fail(images: Any) -> Any:
        raise RuntimeError("no memory")

    with running([small(fail, limits)], limits) as server:
        for _ in range(5):
            assert server.client.post("/v2/models/small/infer", json={"inputs": [PIXEL]}).status_code == 500
        failures = server.service.failures
    lines = [each for each in caplog.records if each.name == "committee.serving.failures"]
    assert len(lines) + failures.left_out == 5 and len(lines) < 5 and lines[0].exc_info


def test_a_form_needs_no_disk(monkeypatch, server, photo):
    """A full disk, or none: forms are read in memory."""
    monkeypatch.setattr("tempfile.SpooledTemporaryFile", None)
    monkeypatch.setattr("tempfile.TemporaryFile", None)
    assert server.post(photo.read_bytes()).status_code == 200


def test_a_changed_file_is_served_as_it_was_loaded_and_the_server_says_so(server, pets, photo):
    before, content = server.post(photo.read_bytes()).json(), pets.read_bytes()
    facts = server.client.get("/v2/models/pets").json()["parameters"]
    assert (facts["digest"], facts["changed"]) == (before["digest"], False)
    try:
        pets.write_bytes(b"another model")
        assert server.client.get("/v2/models/pets").json()["parameters"]["changed"] is True
        assert server.post(photo.read_bytes()).json() == before
    finally:
        pets.write_bytes(content)
    assert server.client.get("/v2/models/pets").json()["parameters"]["changed"] is False


def test_a_token_is_needed_and_never_logged(monkeypatch, caplog):
    monkeypatch.setenv("COMMITTEE_TOKEN", TOKEN)
    limits = Limits(decoders=1)
    with caplog.at_level(0), running([small(lambda images: HALF, limits)], limits, "0.0.0.0") as server:
        address = server.http.replace("0.0.0.0", "127.0.0.1")
        get = lambda path, **headers: httpx.get(address + path, headers=headers, trust_env=False)  # noqa: E731
        assert [get(path).status_code for path in ("/", "/health", "/v2/health/ready")] == [200] * 3
        for given, got in (({}, "none"), ({"Authorization": f"Bearer {TOKEN[:-1]}"}, "another")):
            answer = get("/v2", **given)
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
            expected = f"Authorization: expected Bearer and the token of the server, got {got}."
            assert answer.json() == {"error": expected}
        assert get("/metrics", Authorization=f"Bearer {TOKEN}").status_code == 200
        grpc = pytest.importorskip("grpc", reason="the calls need grpcio")
        from committee.serving.grpc_messages import SERVICE, message

        with grpc.insecure_channel(server.grpc.replace("0.0.0.0", "127.0.0.1")) as channel:
            call = channel.unary_unary(
                f"/{SERVICE}/ServerMetadata",
                request_serializer=lambda request: request.SerializeToString(),
                response_deserializer=message("ServerMetadataResponse").FromString,
            )
            request = message("ServerMetadataRequest")()
            with pytest.raises(grpc.RpcError) as caught:
                call(request)
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
            assert call(request, metadata=[("authorization", f"Bearer {TOKEN}")]).name == "committee"
    assert TOKEN not in caplog.text


def test_names_of_other_computers_are_refused_without_a_token(server):
    answer = server.client.get("/v2", headers={"Host": "evil.example:8000"})
    assert answer.status_code == 421
    assert answer.json() == {"error": "Host: expected one of 127.0.0.1, [::1], localhost, got another."}


def test_the_page_is_whole_and_may_load_nothing_else(server):
    page = server.client.get("/")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "<option>pets</option>" in page.text
    assert "http://" not in page.text and "https://" not in page.text
    assert page.headers["X-Content-Type-Options"] == "nosniff"


def test_measures(server, photo):
    server.post(photo.read_bytes())
    server.client.get("/nothing")
    text = server.client.get("/metrics").text
    digest = server.service.models["pets"].digest
    assert f'committee_model{{digest="{digest}",model="pets"}} 1.0' in text
    assert 'committee_requests_total{route="other",status="404"}' in text
    assert 'committee_batch_images_count{model="pets"}' in text and "committee_admitted_images 0.0" in text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            {"host": "0.0.0.0"},
            "--host 0.0.0.0: expected a token, since other computers reach this address, got none. "
            "Name a file that contains it with --token-file, or set COMMITTEE_TOKEN.",
        ),
        ({"port": 70_000}, "--port: expected a port in 0..65535, got 70000."),
    ],
)
def test_addresses_that_are_refused(monkeypatch, arguments, expected):
    monkeypatch.delenv("COMMITTEE_TOKEN", raising=False)
    with pytest.raises(UsageError) as caught:
        bind(**{"host": "127.0.0.1", "port": 0, **arguments})
    assert str(caught.value) == expected


def test_a_port_in_use_and_two_models_of_a_name(server, pets, cli):
    port = server.http.rpartition(":")[2]
    said = cli("serve", pets, "--port", port)
    assert said.code == 2
    assert said.err.startswith(
        f"committee: --port {port}: expected a port of 127.0.0.1 that is free and may be used"
    )
    assert said.err.endswith("Give another one with --port; 0 takes any that is free.\n")
    said = cli("serve", pets, pets, "--port", 0)
    assert (said.code, said.err) == (
        2,
        f"committee: '{pets}': expected a model of another name, got 'pets' twice. "
        f"Give it a name in the server: NAME={pets}\n",
    )


def test_a_damaged_file_and_a_file_that_is_not_there(pets, cli, tmp_path):
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(pets.read_bytes()[:-2000])
    said = cli("serve", damaged, "--port", 0)
    assert (said.code, said.err) == (
        1,
        f"committee: {damaged}: expected a complete ONNX file, got a damaged one. "
        "Write it again with: committee export --model-name NAME\n",
    )
    assert cli("serve", tmp_path / "none.onnx", "--port", 0).err.endswith(
        "none.onnx: the file does not exist.\n"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that a program handles")
def test_a_signal_ends_the_server_after_what_it_has_accepted(pets, photo):
    command = [sys.executable, "-m", "committee", "serve", str(pets), "--port", "0", "--decoders", "1"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("pets: classes, digest ")
        host, port = process.stdout.readline().strip().removeprefix("http://").split(":")
        content = photo.read_bytes()
        head = (
            f"POST /predict HTTP/1.1\r\nHost: {host}\r\nContent-Type: image/jpeg\r\n"
            f"Content-Length: {len(content)}\r\n\r\n"
        )
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(head.encode() + content[:100])
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            connection.sendall(content[100:])
            answer = b""
            while part := connection.recv(65536):
                answer += part
        assert answer.startswith(b"HTTP/1.1 200") and b'"prediction"' in answer
        assert process.wait(20) == 0
