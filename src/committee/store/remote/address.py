"""Addresses of stores on object storage, such as `s3://bucket/prefix`, and where their working copies are."""

from __future__ import annotations

import hashlib
import os
import re
import urllib.parse
import urllib.request
from pathlib import Path

from committee.errors import UsageError

# A scheme has at least two letters: `C:/` is a drive of Windows. A `Path` keeps one slash of two.
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.DOTALL)
PROTOCOLS = {"s3": ("s3", "s3a"), "gcs": ("gs", "gcs"), "azure": ("az", "azure", "abfs", "abfss")}
"""Protocols of object storage that has conditional writes, by the kind that the package obstore names."""
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT")
"""Variables with the address of the server, which belongs to the identity of a bucket."""


def is_address(root: str | Path) -> bool:
    """Return whether this is an address with a scheme, and not a path of the file system.

    Examples
    --------
    >>> from committee.store.remote.address import is_address
    >>> is_address("s3://bucket/cells"), is_address("store"), is_address("C:/store")
    (True, False, False)
    """
    return _ADDRESS.fullmatch(str(root).replace("\\", "/")) is not None


def normalized(root: str | Path) -> str:
    """Return an address in the form `scheme://bucket/prefix`.

    Raises
    ------
    UsageError
        The address contains credentials, options, or `..`.

    Examples
    --------
    >>> from pathlib import Path
    >>> from committee.store.remote.address import normalized
    >>> normalized(Path("s3://bucket/cells/"))
    's3://bucket/cells'
    """
    found = _ADDRESS.fullmatch(str(root).replace("\\", "/"))
    scheme, rest = (found[1].lower(), found[2].strip("/")) if found else ("", "")
    parts = rest.split("/")
    if scheme != "file" and (not rest or re.search(r"[@?#]", parts[0]) or {"..", ".", ""} & set(parts)):
        raise UsageError(
            "address",
            expected="an address such as s3://bucket/prefix, without credentials",
            got=f"'{re.sub('/+.*@', '//...@', str(root))}'",
            todo="Set credentials as variables of the environment, such as AWS_ACCESS_KEY_ID.",
        )
    return f"{scheme}:///{rest}" if scheme == "file" else f"{scheme}://{rest}"


def local_path(address: str) -> Path | None:
    """Return the path of a `file://` address; None for another one."""
    if not address.startswith("file:"):
        return None
    return Path(urllib.request.url2pathname(urllib.parse.urlsplit(address).path))


def copy_folder(address: str, cache: str | Path | None = None) -> Path:
    """Return the folder of the working copy of a store, which need not exist.

    Parameters
    ----------
    address : str
        A normalized address.
    cache : str or Path, optional
        The folder of all working copies; by default `$COMMITTEE_STORE_CACHE`, or `~/.cache/committee/stores`.
    """
    chosen = cache or os.environ.get("COMMITTEE_STORE_CACHE")
    top = Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "committee" / "stores"
    server = next((os.environ[name] for name in ENDPOINTS if os.environ.get(name)), "")
    name = re.sub(r"[^A-Za-z0-9]+", "-", address)[:60].strip("-")
    return top.resolve() / f"{name}-{hashlib.sha256(f'{server} {address}'.encode()).hexdigest()[:10]}"
