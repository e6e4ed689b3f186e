"""Reader of the header of untrusted safetensors files: names, types and shapes of the tensors."""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

MOST_TENSORS = 20_000
MOST_AXES = 64
LONGEST_HEADER = 32 * 2**20
"""Largest header in bytes. Headers contain the sample ids of predictions: 30 MB for a million ids."""

BYTES = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E5M2": 1,
    "F8_E4M3": 1,
    "U16": 2,
    "I16": 2,
    "F16": 2,
    "BF16": 2,
    "U32": 4,
    "I32": 4,
    "F32": 4,
    "U64": 8,
    "I64": 8,
    "F64": 8,
    "C64": 8,
}


@dataclass(frozen=True)
class Header:
    """The header of a safetensors file.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Shape of each tensor, by its name.
    metadata : mapping of str to str
        Metadata that the writer added.
    places : mapping of str to (str, int)
        Type of each tensor, such as `F16`, and the place of its first byte in the file.

    See Also
    --------
    read_header : Read the header of a file.
    """

    shapes: Mapping[str, tuple[int, ...]]
    metadata: Mapping[str, str]
    places: Mapping[str, tuple[str, int]]


def read_header(path: Path) -> Header:
    """Read and verify the header of a file without reading tensors.

    The safetensors library takes fifteen seconds for 400,000 tensors, and silently drops one of two tensors
    with the same name.

    Raises
    ------
    SafetensorError
        The header is too long, has a name twice, or the tensors do not fill the file exactly.
    OSError
        The file cannot be read.
    """
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, LONGEST_HEADER):
            raise SafetensorError(f"a header of {length} bytes in a file of {size}")
        content = file.read(length)
    entries = _parse(content)
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise SafetensorError("metadata that is not text")
    _check_filled(entries, size - 8 - length)
    shapes = {name: tuple(entry["shape"]) for name, entry in entries.items()}
    start = 8 + length
    places = {name: (entry["dtype"], start + entry["data_offsets"][0]) for name, entry in entries.items()}
    return Header(shapes, metadata, places)


def _parse(content: bytes) -> dict[str, Any]:
    count = 0

    def build_dict(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal count
        count += 1
        if count > MOST_TENSORS:
            raise SafetensorError(f"more than {MOST_TENSORS} tensors")
        found = dict(pairs)
        if len(found) < len(pairs):
            name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
            raise SafetensorError(f"the name {name[:100]!r} twice")
        return found

    try:
        entries = json.loads(content.decode("utf-8"), object_pairs_hook=build_dict)
    except (ValueError, RecursionError):
        raise SafetensorError("a header that is not valid JSON") from None
    if not isinstance(entries, dict):
        raise SafetensorError("a header that does not describe tensors")
    return entries


def _check_filled(entries: Mapping[str, Any], size: int) -> None:
    """Raise SafetensorError unless the tensors have the size of their shapes and fill the file exactly."""
    spans = []
    for name, entry in entries.items():
        if not _is_well_formed(entry):
            raise SafetensorError(f"an invalid description of the tensor {name[:100]!r}")
        start, end = entry["data_offsets"]
        if end - start != BYTES[entry["dtype"]] * math.prod(entry["shape"]):
            raise SafetensorError(f"a size that does not match the shape of {name[:100]!r}")
        spans.append((start, end))
    reached = 0
    for start, end in sorted(spans):
        if start != reached:
            raise SafetensorError("overlapping tensors, or gaps between tensors")
        reached = end
    if reached != size:
        raise SafetensorError(f"tensors of {reached} bytes, where the file has {size}")


def _is_well_formed(entry: object) -> bool:
    return (
        isinstance(entry, dict)
        and entry.get("dtype") in list(BYTES)
        and _are_counts(entry.get("shape"))
        and _are_counts(entry.get("data_offsets"))
        and len(entry["data_offsets"]) == 2
    )


def _are_counts(values: object) -> bool:
    return (
        isinstance(values, list)
        and len(values) <= MOST_AXES
        and all(type(value) is int and 0 <= value < 2**63 for value in values)
    )
