"""One short request that decides whether the client of the Hugging Face hub may use its cache only."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants


@contextmanager
def hub(needed: bool) -> Iterator[None]:
    """Let the hub's client use its cache only, if the hub does not respond.

    Without a connection, the client retries for 20 to 50 seconds per file.

    Parameters
    ----------
    needed : bool
        Whether anything is fetched. If not, nothing is requested.
    """
    before = constants.HF_HUB_OFFLINE
    if needed and not before:
        constants.HF_HUB_OFFLINE = not responds(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def responds(url: str) -> bool:
    """Return whether a server answers within ten seconds."""
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=10).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True
