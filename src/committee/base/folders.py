"""Folders of the user, outside of any store."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def user_cache(name: str) -> Path:
    """Return a folder of data that can be computed again, in the user's cache, as each system has it.

    Examples
    --------
    >>> from committee.base.folders import user_cache
    >>> user_cache("engines").parts[-2:]
    ('committee', 'engines')
    """
    if sys.platform == "win32":
        top = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        top = Path.home() / "Library" / "Caches"
    else:
        top = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return top / "committee" / name
