"""Clients of object storage, with the credentials of the environment."""

from __future__ import annotations

import os
import socket
import urllib.parse
from datetime import timedelta
from pathlib import Path
from typing import Any

from committee.errors import UsageError, require
from committee.store.remote.address import ENDPOINTS
from committee.store.remote.refusals import CREDENTIALS, RemoteError, no_credentials, reason_of

RETRY = timedelta(seconds=60)
"""Time for which a request is repeated if the network or the server fails."""

METADATA = {
    "s3": ("AWS_METADATA_ENDPOINT", "http://169.254.169.254"),
    "gcs": ("GCE_METADATA_HOST", "http://metadata.google.internal"),
    "azure": ("AZURE_MSI_ENDPOINT", "http://169.254.169.254"),
}
"""Services with the credentials of machines of a cloud: a variable with the address, and the usual one."""

GIVEN = {
    "s3": (
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        "AWS_SKIP_SIGNATURE",
    ),
    "gcs": ("GOOGLE_",),
    "azure": ("AZURE_",),
}
"""Variables, or their first letters, with credentials, or that say how to get them."""
_NO_SECRETS = ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ENDPOINT")
_SECONDS = 1.0


def kind_of(address: str) -> str:
    """Return the kind of the storage of an address: s3, gcs, azure, or another one.

    Raises
    ------
    DependencyError
        obstore is not installed.
    UsageError
        The scheme is unknown.
    """
    try:
        import obstore
        from obstore.exceptions import BaseError
    except ImportError as error:
        raise require("obstore", "cloud", address) from error
    try:
        # The client has one store in memory without a name.
        return str(obstore.parse_scheme("memory:///" if address.startswith("memory:") else _known(address)))
    except BaseError as error:
        raise UsageError(
            address,
            expected="the address of object storage, such as s3://bucket/prefix, gs:// or az://",
            got=f"the scheme '{address.partition(':')[0]}'",
            todo="Copy the files to such storage, or name a folder.",
        ) from error


def open_client(address: str) -> Any:
    """Return the client of obstore for the objects below an address; nothing is sent to the storage.

    Raises
    ------
    DependencyError
        obstore is not installed.
    UsageError
        The scheme is unknown, or `$AWS_PROFILE` does not exist.
    RemoteError
        There are no credentials, or the address cannot be opened.
    """
    kind = kind_of(address)
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    named = _credentials(address, kind)
    options: Any = {"timeout": "300s", "connect_timeout": "10s", "allow_http": _is_plain_http()}
    retry: Any = {"retry_timeout": RETRY, "max_retries": 10}
    try:
        return from_url(_known(address), client_options=options, retry_config=retry, **named)
    except BaseError as error:
        raise RemoteError(f"{address}: cannot be opened ({reason_of(error)})") from error


def _known(address: str) -> str:
    """Return an address with a scheme that obstore knows."""
    return address.replace("gcs://", "gs://", 1)


def _is_plain_http() -> bool:
    """Return whether the environment names a server without encryption, such as one of this machine."""
    return any(os.environ.get(name, "").startswith("http://") for name in ENDPOINTS)


def _credentials(address: str, kind: str) -> dict[str, Any]:
    """Return the option with the credentials of boto3; none for those of the environment."""
    if kind not in METADATA or _are_given(kind):
        return {}
    provider = _boto3_credentials() if kind == "s3" else None
    if provider is not None:
        return {"credential_provider": provider}
    variable, usual = METADATA[kind]
    if not _answers(os.environ.get(variable, usual)):
        # The client would ask that service for a minute.
        raise no_credentials(address, kind)
    return {}


def _are_given(kind: str) -> bool:
    names = {name for name, value in os.environ.items() if value} - {*_NO_SECRETS}
    found = any(name.startswith(GIVEN[kind]) for name in names)
    return found or (kind == "gcs" and _google_file().is_file())


def _google_file() -> Path:
    """Return the file that `gcloud auth application-default login` writes."""
    settings = Path(os.environ.get("APPDATA") or Path.home() / ".config")
    return settings / "gcloud" / "application_default_credentials.json"


def _boto3_credentials() -> Any:
    """Return the credentials of the profile or role that boto3 finds, or None."""
    try:
        from obstore.auth.boto3 import Boto3CredentialProvider

        return Boto3CredentialProvider()
    except (ImportError, ValueError):  # not installed, or no credentials
        return None
    except Exception as error:  # a profile that does not exist, of a package that need not be installed
        raise UsageError("AWS_PROFILE", got=str(error), todo=f"{CREDENTIALS['s3']}.") from error


def _answers(url: str) -> bool:
    """Return whether a server accepts connections."""
    place = urllib.parse.urlsplit(url if "://" in url else f"http://{url}")
    try:
        with socket.create_connection((place.hostname or "", place.port or 80), _SECONDS):
            return True
    except OSError:
        return False
