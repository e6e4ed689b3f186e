"""Readers of untrusted NumPy files, which verify the header before they allocate memory."""

from __future__ import annotations

import math
import os
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from committee.untrusted.growth import check_growth

LONGEST_HEADER = 10_000
Read = TypeVar("Read")


def load_npy(path: Path, *, mmap: bool = False) -> NDArray[Any]:
    """Read a `.npy` file.

    Parameters
    ----------
    path : Path
        The file.
    mmap : bool
        Whether to memory-map the array.

    Raises
    ------
    FileNotFoundError
        The file does not exist.
    ValueError
        The file is damaged, contains Python objects, or is smaller than its header states.
    """

    def read() -> NDArray[Any]:
        with path.open("rb") as file:
            _check_header(file, os.fstat(file.fileno()).st_size)
            file.seek(0)
            if not mmap:
                return cast("NDArray[Any]", np.load(file, allow_pickle=False))
        return cast("NDArray[Any]", np.load(path, mmap_mode="r", allow_pickle=False))

    return _guarded(read)


def load_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Read all arrays of a `.npz` archive; raise what `load_npy` raises."""

    def read() -> dict[str, NDArray[Any]]:
        with path.open("rb") as file:
            if file.read(4) == b"\x93NUM":
                raise ValueError("a single array")
            with zipfile.ZipFile(file) as archive:
                check_growth(path.stat().st_size, sum(member.file_size for member in archive.infolist()))
                for member in archive.infolist():
                    with archive.open(member) as opened:
                        _check_header(cast("BinaryIO", opened), member.file_size)
            file.seek(0)
            arrays = np.load(file, allow_pickle=False)
            return {name: arrays[name] for name in arrays.files}

    return _guarded(read)


def _check_header(file: BinaryIO, size: int) -> None:
    """Raise ValueError for an array of objects, or one that is larger than the `size` of its file."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version[0]}.{version[1]} of the format")
    start = file.tell()
    length = struct.unpack("<H", file.read(2)) if version == (1, 0) else struct.unpack("<I", file.read(4))
    if length[0] > LONGEST_HEADER:
        raise ValueError(f"a header of {length[0]} bytes")
    file.seek(start)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, kind = header(file)
    if kind.hasobject:
        raise ValueError("Object arrays cannot be loaded when allow_pickle=False")
    claimed = math.prod(shape) * max(1, kind.itemsize)
    if min(shape, default=0) < 0 or claimed > size - file.tell():
        raise ValueError(f"an array {list(shape)} of {claimed} bytes in a file of {size}")


def _guarded(read: Callable[[], Read]) -> Read:
    # A damaged file may raise errors of zip, zlib, lzma, struct, Python's parser or NumPy.
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", "Reading `.npy` or `.npz` file required additional", UserWarning
            )
            return read()
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError((str(error).splitlines() or [type(error).__name__])[0]) from error
