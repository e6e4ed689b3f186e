"""Pickling of memory-mapped arrays by the place of their content."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Mapped:
    """The location of a memory-mapped array, for pickling."""

    def __init__(self, array: Any) -> None:
        self.file, self.offset = Path(array.filename), array.offset
        self.shape, self.dtype = array.shape, array.dtype

    @staticmethod
    def of(value: Any) -> Any:
        """Return the location of a memory-mapped array; other values as they are."""
        return value if getattr(value, "filename", None) is None else Mapped(value)

    @staticmethod
    def opened(value: Any) -> Any:
        """Return the array of a location, mapped read-only; other values as they are."""
        return value.open() if isinstance(value, Mapped) else value

    def open(self) -> NDArray[Any]:
        """Return the array, mapped read-only."""
        return np.memmap(self.file, self.dtype, "r", offset=self.offset, shape=self.shape)
