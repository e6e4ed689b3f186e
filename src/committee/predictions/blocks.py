"""Outputs `[M, N, C, ...]` that stay in files, or in float16, and are read in blocks as float32."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from committee.errors import DataError
from committee.predictions.checks import as_float32

LARGE = 2**22
"""Number of values from which outputs in a file, or in float16, stay where they are."""

LARGE_FILES = 2**30
"""Bytes of all members together from which outputs in several files stay there."""

Floats = NDArray[np.float32]
Places = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Source:
    """The stored outputs `[N, C, ...]` of one member, and which of them are meant.

    Attributes
    ----------
    stored : Path or float array [A, B, ...]
        A file, which is mapped for each access only, so that what was read does not stay in memory.
    shape, dtype, offset
        Those of the array in the file; the offset is in bytes.
    rows, columns : int64 array [N], [C], optional
        The rows and the classes that are meant, in this order; all of them by default.
    floor : float, optional
        The stored values are probabilities; their logarithms are meant, at least that of the floor.
    """

    stored: Path | NDArray[Any]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int = 0
    rows: Places | None = None
    columns: Places | None = None
    floor: float | None = None

    @property
    def count(self) -> int:
        """Number of rows."""
        return self.shape[0] if self.rows is None else len(self.rows)

    @property
    def width(self) -> int:
        """Number of classes."""
        return self.shape[1] if self.columns is None else len(self.columns)

    def read(self, span: slice | Places) -> Floats:
        """Return some rows, float32 `[B, C, ...]`, which no one else changes."""
        values = self._in_logs(_float32(self._array()[span if self.rows is None else self.rows[span]]))
        return values if self.columns is None else np.take(values, self.columns, axis=1)

    def at(self, places: Places, axis: int) -> Source:
        """Return some of the rows (axis 0) or of the classes (axis 1)."""
        if axis == 0:
            return replace(self, rows=places if self.rows is None else self.rows[places])
        return replace(self, columns=places if self.columns is None else self.columns[places])

    def _in_logs(self, values: Floats) -> Floats:
        if self.floor is None:
            return values
        return np.log(np.maximum(values, np.float32(self.floor), out=values), out=values)

    def _array(self) -> NDArray[Any]:
        if not isinstance(self.stored, Path):
            return self.stored
        try:
            return np.memmap(self.stored, self.dtype, "r", self.offset, self.shape)
        except (OSError, ValueError) as error:
            raise DataError(
                str(self.stored),
                expected=f"the {self.dtype} array {list(self.shape)} that it had when it was opened",
                got=str(error),
            ) from error


class Blocks:
    """Outputs of members, float32 `[M, N, C, ...]`, of which only what is indexed is read into memory.

    It is indexed as an array is: by members, then by rows, then by classes. What is indexed by members alone
    stays where it is, unless it is one member.

    Parameters
    ----------
    sources : sequence of Source
        The members, which have the same shape.

    See Also
    --------
    committee.predictions.Predictions : Its `logits` are an array, or this.

    Examples
    --------
    >>> import numpy as np
    >>> from committee.predictions.blocks import Blocks, sources
    >>> blocks = Blocks(sources(np.ones((2, 3, 4), np.float16)))
    >>> blocks.shape, blocks[1, :2].dtype, blocks[:, 1:].shape
    ((2, 3, 4), dtype('float32'), (2, 2, 4))
    """

    dtype = np.dtype(np.float32)

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = tuple(sources)
        first = self.sources[0]
        self.shape = (len(self.sources), first.count, first.width, *first.shape[2:])

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(np.prod(self.shape))

    @property
    def stored_as(self) -> np.dtype[Any]:
        """float16 if all values are stored like that, as they are; else float32."""
        half = all(each.dtype == np.float16 and each.floor is None for each in self.sources)
        return np.dtype(np.float16 if half else np.float32)

    def __len__(self) -> int:
        return len(self.sources)

    def __iter__(self) -> Iterator[Floats]:
        return (self.sources[place].read(slice(None)) for place in range(len(self)))

    def __getitem__(self, key: Any) -> Any:
        members, rows, classes = (*(key if isinstance(key, tuple) else (key,)), slice(None), slice(None))[:3]
        places, all_rows = np.arange(len(self))[members], isinstance(rows, slice) and rows == slice(None)
        if places.ndim and all_rows:
            some = self.take(np.arange(self.shape[2])[classes], 2)
            return some.take(places) if len(places) else np.empty((0, *some.shape[1:]), np.float32)
        span = rows if isinstance(rows, slice) else np.atleast_1d(np.asarray(rows))
        found = np.stack([self.sources[place].read(span)[:, classes] for place in np.atleast_1d(places)])
        found = found if isinstance(rows, slice) or np.ndim(rows) else found[:, 0]
        return found if places.ndim else found[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self.copy().astype(dtype or np.float32, copy=False)

    def take(self, places: ArrayLike, axis: int = 0, out: None = None, mode: str = "raise") -> Blocks:
        """Return some members, rows or classes (axis 0, 1 or 2) without reading them; see `numpy.take`."""
        index = np.asarray(places, np.int64)
        if axis == 0:
            return Blocks([self.sources[place] for place in index.tolist()])
        return Blocks([each.at(index, axis - 1) for each in self.sources])

    def copy(self) -> Floats:
        """Return all values in memory."""
        return np.stack(list(self))

    def in_logs(self, floors: Sequence[float]) -> Blocks:
        """Return the logarithms of probabilities, with the smallest probability of each member."""
        found = zip(self.sources, floors, strict=True)
        return Blocks([replace(source, floor=floor) for source, floor in found])


def outputs_of(values: ArrayLike | Blocks, who: str) -> Floats:
    """Return outputs `[N, C]` of one member, or `[M, N, C, ...]`, as float32: an array, or `Blocks`.

    Many values stay where they are if they are float16, or a memory-mapped file that is mapped as a whole.
    """
    if isinstance(values, Blocks):
        return cast("Floats", values)
    array = values if isinstance(values, np.ndarray) else as_float32(values, who)
    stays = array.ndim > 1 and array.size >= LARGE and (array.dtype == np.float16 or _is_mapped(array))
    return cast("Floats", Blocks(sources(array))) if stays else as_float32(array, who)


def sources(array: NDArray[Any]) -> list[Source]:
    """Return the members of an array `[M, N, C, ...]`, or `[N, C]` of one, which may be a mapped file."""
    shape, kind = array.shape[array.ndim > 2 :], array.dtype
    count = len(array) if array.ndim > 2 else 1
    if not _is_mapped(array):
        return [Source(member, shape, kind) for member in array.reshape(count, *shape)]
    mapped = cast("np.memmap[Any, Any]", array)
    path, step = Path(str(mapped.filename)), array.nbytes // count
    return [Source(path, shape, kind, mapped.offset + place * step) for place in range(count)]


def joined(parts: Sequence[Floats]) -> Floats:
    """Return the members of several outputs `[M, N, C, ...]` in a row; large ones stay in files."""
    kept = [blocks_of(part) for part in parts]
    in_files = sum(part.nbytes for part in parts if isinstance(part, np.memmap))
    if not any(kept) and in_files <= LARGE_FILES:
        return np.concatenate(parts)
    listed = (sources(part) if each is None else each.sources for each, part in zip(kept, parts, strict=True))
    return cast("Floats", Blocks([source for each in listed for source in each]))


def blocks_of(outputs: object) -> Blocks | None:
    """Return outputs that are not in memory; None for an array."""
    return outputs if isinstance(outputs, Blocks) else None


def _is_mapped(array: NDArray[Any]) -> bool:
    """Return whether an array of floats is a mapped file, not a part of one, whose rows follow each other."""
    base: object = array.base
    if not (isinstance(array, np.memmap) and isinstance(base, mmap.mmap) and array.filename):
        return False
    return array.dtype.kind == "f" and bool(array.flags.c_contiguous)


def _float32(values: NDArray[Any]) -> Floats:
    """Return a copy as float32; an overflow becomes infinity."""
    if values.dtype != np.float16:
        with np.errstate(over="ignore"):
            return np.array(values, np.float32)
    import torch  # six times as fast as NumPy for this type

    return torch.from_numpy(np.array(values)).float().numpy()
