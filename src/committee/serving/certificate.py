"""The certificate with which a server encrypts, for HTTP and for gRPC."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from committee.errors import UsageError, printable, unreadable

CERTIFICATE, KEY = "--certificate", "--key"
_TODO = (
    f"Give the certificate, with those that issued it, with {CERTIFICATE}, and its private key with {KEY}."
)


@dataclass(frozen=True)
class Certificate:
    """A certificate and its private key, which have been read and belong together.

    `read_certificate` makes it.

    Parameters
    ----------
    chain, key : bytes
        The certificate, followed by those of its issuers, and the private key, in the PEM format.
    context : ssl.SSLContext
        The settings of TLS for HTTP.
    """

    chain: bytes
    key: bytes
    context: ssl.SSLContext

    def for_grpc(self) -> Any:
        """Return the credentials of a gRPC server."""
        import grpc

        return grpc.ssl_server_credentials([(self.key, self.chain)])


def read_certificate(certificate: Path | None, key: Path | None) -> Certificate | None:
    """Return a certificate from PEM files, or None if no file is given.

    Parameters
    ----------
    certificate : Path, optional
        File with the certificate, followed by those of its issuers.
    key : Path, optional
        File with the private key, without a password; by default, it is in the file of the certificate.

    Raises
    ------
    UsageError
        A file cannot be read or is not in the PEM format, the key does not belong to the certificate or has a
        password, or there is a key alone.

    Examples
    --------
    >>> from committee.serving.certificate import read_certificate
    >>> read_certificate(None, None) is None
    True
    """
    if certificate is None:
        if key is not None:
            raise UsageError(f"{KEY} {printable(str(key))}", expected=f"{CERTIFICATE} with it", got="none")
        return None
    chain = _content(certificate)
    private = chain if key is None else _content(key)
    return Certificate(chain, private, _context(certificate, key or certificate))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(UsageError, path, error, _TODO) from None


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return the settings of TLS; those of the standard library, which follow what is considered safe."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=lambda: _refuse_password(key))
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            expected, got = f"the private key of {printable(str(certificate))}", "that of another certificate"
            raise UsageError(f"{KEY} {printable(str(key))}", expected=expected, got=got) from None
        raise UsageError(
            f"{CERTIFICATE} {printable(str(certificate))} {KEY} {printable(str(key))}",
            expected="a certificate and its private key in the PEM format",
            got="something else",
            todo=_TODO,
        ) from None
    return context


def _refuse_password(key: Path) -> NoReturn:
    raise UsageError(
        f"{KEY} {printable(str(key))}",
        expected="a private key without a password",
        got="one with a password",
        todo="Remove the password with: openssl pkey -in KEY -out FILE",
    )
