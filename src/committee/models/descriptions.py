"""The JSON files that describe saved models. This module does not import torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from committee.errors import StoreError
from committee.untrusted.documents import read_json

MEMBER, ENSEMBLE, COMPOSITE = "member.json", "ensemble.json", "composite.json"


def write_description(path: Path, description: Mapping[str, Any]) -> None:
    """Write the JSON file that describes a saved member, ensemble or composite."""
    text = json.dumps(description, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def read_description(path: Path, what: str, protocol: int) -> dict[str, Any]:
    """Read the JSON file that describes a saved member, ensemble or composite.

    Raises
    ------
    StoreError
        The file is missing or damaged, or has another protocol.
    """
    description = read_json(path, f"the description of {what}", "Name a folder that its save method wrote.")
    if description.get("protocol") != protocol:
        raise StoreError(
            str(path),
            expected=f"protocol {protocol}",
            got=str(description.get("protocol")),
            todo="Read it with the version of committee that wrote it.",
        )
    return description


def provenance_of(folder: Path) -> dict[str, Any]:
    """Return the provenance of a saved model, without building the model."""
    files = [folder / name for name in (ENSEMBLE, COMPOSITE, MEMBER)]
    file = next((each for each in files if each.is_file()), files[-1])
    found = read_json(file, "a saved model", "Name a folder that its save method wrote.").get("provenance")
    return dict(found or {})
