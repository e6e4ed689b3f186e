"""TLS over both protocols, with a certificate that the test makes, and files that are refused."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from committee.errors import UsageError
from committee.serving import server as serving
from committee.serving.certificate import read_certificate
from committee.serving.limits import Limits

from .conftest import running, small

trustme = pytest.importorskip("trustme", reason="the certificate needs trustme")
HALF = np.array([[0.5, 0.5]], np.float32)


@pytest.fixture(scope="module")
def files(tmp_path_factory: Any) -> Path:
    """A folder with a certificate of this computer, its key, those of another one, and the issuer's."""
    folder, issuer = tmp_path_factory.mktemp("certificates"), trustme.CA()
    for name in ("own", "other"):
        made = issuer.issue_cert("localhost", "127.0.0.1")
        made.private_key_pem.write_to_path(folder / f"{name}.key")
        made.private_key_and_cert_chain_pem.write_to_path(folder / f"{name}.both.pem")
        for each in made.cert_chain_pems:
            each.write_to_path(folder / f"{name}.pem", append=True)
    issuer.cert_pem.write_to_path(folder / "issuer.pem")
    return folder


def test_both_protocols_are_encrypted_and_one_client_that_is_not_does_no_harm(files, monkeypatch):
    monkeypatch.setattr(serving, "HANDSHAKE", 0.3)
    limits = Limits(decoders=1)
    models, certificate = [small(lambda images: HALF.repeat(len(images), 0), limits)], files / "own.pem"
    with running(models, limits, certificate=certificate, key=files / "own.key") as server:
        assert server.http.startswith("https://")
        host, port = server.http.removeprefix("https://").split(":")
        trusting = ssl.create_default_context(cafile=files / "issuer.pem")
        with httpx.Client(base_url=server.http, verify=trusting, trust_env=False) as client:
            assert client.get("/health").json() == {"status": "ok"}
            with socket.create_connection((host, int(port)), timeout=10) as silent:
                assert silent.recv(1) == b""  # It has agreed on nothing in time.
            with socket.create_connection((host, int(port)), timeout=10) as plain:
                plain.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert b"200" not in plain.recv(1000)
            assert client.get("/v2/models/small").status_code == 200
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            httpx.get(f"{server.http}/health", trust_env=False)
        grpc = pytest.importorskip("grpc", reason="the calls need grpcio")
        from committee.serving.grpc_messages import SERVICE, message

        trusted = grpc.ssl_channel_credentials((files / "issuer.pem").read_bytes())
        with grpc.secure_channel(server.grpc, trusted) as channel:
            call = channel.unary_unary(
                f"/{SERVICE}/ServerMetadata",
                request_serializer=lambda request: request.SerializeToString(),
                response_deserializer=message("ServerMetadataResponse").FromString,
            )
            assert call(message("ServerMetadataRequest")(), timeout=10).name == "committee"


def test_a_key_may_be_in_the_file_of_the_certificate(files):
    found = read_certificate(files / "own.both.pem", None)
    assert found is not None and found.key == found.chain and b"PRIVATE KEY" in found.key


@pytest.mark.parametrize(
    ("certificate", "key", "expected"),
    [
        (None, "own.key", "--key own.key: expected --certificate with it, got none."),
        (
            "own.pem",
            "other.key",
            "--key other.key: expected the private key of own.pem, got that of another certificate.",
        ),
        ("none.pem", "own.key", "none.pem: the file does not exist."),
        ("own.pem", None, "--key own.pem: expected a certificate and its private key in the PEM format"),
        ("issuer.pem", "noise.key", "expected a certificate and its private key in the PEM format, got"),
        ("own.pem", "locked.key", "--key locked.key: expected a private key without a password, got one"),
    ],
)
def test_files_that_are_refused(files, monkeypatch, certificate, key, expected):
    from cryptography.hazmat.primitives import serialization

    (files / "noise.key").write_bytes(b"\0noise")
    private = serialization.load_pem_private_key((files / "own.key").read_bytes(), None)
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (files / "locked.key").write_bytes(
        private.private_bytes(*form, serialization.BestAvailableEncryption(b"secret"))
    )
    monkeypatch.chdir(files)
    with pytest.raises(UsageError) as caught:
        read_certificate(certificate and Path(certificate), key and Path(key))
    assert expected in str(caught.value)
