"""Readers of untrusted JSON files."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from committee.errors import CommitteeError, StoreError, missing, unreadable

Made = TypeVar("Made")


def read_json(path: Path, expected: str, todo: str = "") -> dict[str, Any]:
    """Read a JSON object from a file.

    Parameters
    ----------
    path : Path
        The file.
    expected : str
        Description of a valid file, for the error message.
    todo : str
        What to do if the file is not valid.

    Raises
    ------
    StoreError
        The file does not exist, cannot be read, or does not contain a JSON object.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise StoreError(str(path), expected=expected, got="something other than a file", todo=todo)
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise missing(StoreError, path, todo) from None
    except (ValueError, RecursionError):
        value = None  # refused below, like JSON that is not an object
    except StoreError:
        raise
    except OSError as error:
        raise unreadable(StoreError, path, error, todo) from error
    if not isinstance(value, dict):
        raise StoreError(str(path), expected=expected, got="a damaged one", todo=todo)
    return value


def build(make: Callable[[], Made], path: Path, expected: str, todo: str = "") -> Made:
    """Return `make()`, which builds an object from the untrusted content of `path`.

    Raises
    ------
    StoreError
        `make` failed, for example because a value is missing or has another type.
    """
    try:
        return make()
    except CommitteeError:
        raise
    # Untrusted values can raise any exception in code that expects valid ones.
    except Exception as error:
        detail = f"{type(error).__name__}: {error}".splitlines()[0]
        raise StoreError(
            str(path), expected=expected, got=f"invalid content ({detail})", todo=todo
        ) from error
