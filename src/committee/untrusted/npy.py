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


def load_npz(path: Path, *, mmap: bool = False) -> dict[str, NDArray[Any]]:
    """Read all arrays of a `.npz` archive; raise what `load_npy` raises.

    With `mmap`, arrays of two and more axes that are not compressed are memory-mapped.
    """

    def read() -> dict[str, NDArray[Any]]:
        with path.open("rb") as file:
            if file.read(4) == b"\x93NUM":
                raise ValueError("a single array")
            with zipfile.ZipFile(file) as archive:
                check_growth(path.stat().st_size, sum(member.file_size for member in archive.infolist()))
                for member in archive.infolist():
                    with archive.open(member) as opened:
                        _check_header(cast("BinaryIO", opened), member.file_size)
                mapped = _mapped(path, file, archive) if mmap else {}
            file.seek(0)
            arrays = np.load(file, allow_pickle=False)
            return {name: mapped[name] if name in mapped else arrays[name] for name in arrays.files}

    return _guarded(read)


def _mapped(path: Path, file: BinaryIO, archive: zipfile.ZipFile) -> dict[str, NDArray[Any]]:
    """Return the arrays of an archive that can be mapped."""
    found: dict[str, NDArray[Any]] = {}
    for member in archive.infolist():
        if member.compress_type != zipfile.ZIP_STORED:
            continue
        # The length of the name and of the extra field before the content; the directory may state others.
        file.seek(member.header_offset + 26)
        name, extra = struct.unpack("<HH", file.read(4))
        file.seek(member.header_offset + 30 + name + extra)
        shape, is_fortran, kind = _check_header(file, file.tell() + member.file_size)
        if len(shape) > 1 and not is_fortran and 0 not in shape:
            found[member.filename.removesuffix(".npy")] = np.memmap(path, kind, "r", file.tell(), shape)
    return found


def _check_header(file: BinaryIO, size: int) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, whether the order is that of Fortran, and type; the file is then at the first value.

    Raise ValueError for an array of objects, or one that is larger than the `size` of its file.
    """
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version[0]}.{version[1]} of the format")
    start = file.tell()
    length = struct.unpack("<H", file.read(2)) if version == (1, 0) else struct.unpack("<I", file.read(4))
    if length[0] > LONGEST_HEADER:
        raise ValueError(f"a header of {length[0]} bytes")
    file.seek(start)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, is_fortran, kind = header(file)
    if kind.hasobject:
        raise ValueError("Object arrays cannot be loaded when allow_pickle=False")
    claimed = math.prod(shape) * max(1, kind.itemsize)
    if min(shape, default=0) < 0 or claimed > size - file.tell():
        raise ValueError(f"an array {list(shape)} of {claimed} bytes in a file of {size}")
    return shape, is_fortran, kind


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
