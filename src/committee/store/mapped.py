"""Arrays in files that are mapped into memory for writing, whose disk space is allocated beforehand."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import DTypeLike

_UNSUPPORTED = {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}
_BLOCK = 2**20


def create_array(path: Path, shape: Sequence[int], dtype: DTypeLike) -> np.memmap[Any, Any]:
    """Create a `.npy` file and map it into memory for writing.

    A write to a mapped file whose disk is full ends the process with SIGBUS, without a message. So all blocks
    of the file are allocated first.

    Returns
    -------
    memory-mapped array of this shape
        Filled with zeros.

    Raises
    ------
    OSError
        The disk has too little space.

    Examples
    --------
    >>> import tempfile
    >>> from committee.store.mapped import create_array
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     array = create_array(Path(folder, "a.npy"), (2, 3), np.float32)
    ...     array[1] = 1
    ...     array.tolist()
    [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    """
    dtype = np.dtype(dtype)
    fields = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": tuple(shape)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, fields)
        file.flush()
        _allocate(file.fileno(), file.tell(), int(np.prod(shape)) * dtype.itemsize)
    return cast("np.memmap[Any, Any]", np.load(path, mmap_mode="r+", allow_pickle=False))


def _allocate(handle: int, start: int, size: int) -> None:
    """Allocate `size` bytes of an open file; write zeros where the system or file system cannot allocate."""
    if not size:
        return
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(handle, start, size)
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
        else:
            return
    zeros = memoryview(bytes(min(size, _BLOCK)))
    while size:
        size -= os.write(handle, zeros[: min(size, _BLOCK)])
