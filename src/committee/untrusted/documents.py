"""JSON that anybody may have written: an object comes out, or one sentence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from committee.errors import CommitteeError, StoreError

Made = TypeVar("Made")


def read_json(path: Path, expected: str, todo: str = "") -> dict[str, Any]:
    """Read a JSON object from a file.

    Parameters
    ----------
    path : Path
        The file.
    expected : str
        What it should be, for the sentence.
    todo : str
        What to do when it is not.

    Raises
    ------
    StoreError
        There is no such file, it cannot be read, or holds something else.
    """
    try:
        got = "none" if not path.exists() else "" if path.is_file() else "no file"
        value = None if got else json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        value, got = None, "a damaged one"
    except OSError as error:
        value, got = None, error.strerror or str(error)
    if not isinstance(value, dict):
        raise StoreError(str(path), expected=expected, got=got or "a damaged one", todo=todo)
    return value


def build(make: Callable[[], Made], path: Path, expected: str, todo: str = "") -> Made:
    """Return `make()`, which takes apart what `path` said.

    Raises
    ------
    StoreError
        Something is missing there, or of another type.
    """
    try:
        return make()
    except CommitteeError:
        raise
    # What a stranger's values do to code that trusts them is not known beforehand.
    except Exception as error:
        detail = f"{type(error).__name__}: {error}".splitlines()[0]
        raise StoreError(str(path), expected=expected, got=f"another ({detail})", todo=todo) from error
