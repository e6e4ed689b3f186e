"""Files of class names, in the order of a network's outputs."""

from __future__ import annotations

import json
from pathlib import Path

from committee.errors import DataError, UsageError, first_five, unreadable


def read_classes(path: Path) -> list[str]:
    """Return the class names in a file: one per line, a JSON list, or a JSON mapping of numbers to names.

    Raises
    ------
    UsageError
        The file does not exist or cannot be read.
    DataError
        The content is not valid JSON or UTF-8, or a name occurs twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise unreadable(UsageError, path, error, "Name a file of class names with --classes.") from error
    except UnicodeDecodeError as error:
        raise DataError(str(path), expected="class names in UTF-8", got="other bytes") from error
    names = [line.strip() for line in text.splitlines() if line.strip()]
    if text.lstrip().startswith(("[", "{")):
        try:
            found = json.loads(text)
            if isinstance(found, dict):
                found = [found[key] for key in sorted(found, key=int)]
        except ValueError as error:
            raise DataError(str(path), expected="class names as JSON", got=str(error)) from error
        names = [str(name) for name in found]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated or not names:
        raise DataError(
            str(path),
            expected="different class names",
            got=f"{first_five(repeated)} twice" if repeated else "none",
        )
    return names
