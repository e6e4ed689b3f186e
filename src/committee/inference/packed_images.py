"""Decoded images as Arrow tables, from the tasks that read them to the workers that predict them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from committee.errors import DataError, StorageError
from committee.images.decode import decode, image_error, reason_of
from committee.images.remote import RemoteFile
from committee.images.threads import in_order
from committee.inference.photos import Photo, photo_id
from committee.inference.predict import Entry, parts_of
from committee.inference.ray_nodes import Needs, check_once, unseen
from committee.models.predictor import Canvas, Images

THREADS = 8
"""Threads that read files of one task: a storage answers after some milliseconds, whatever the number."""
UNREAD = "committee: unread"
"""Whether a machine could not read the file of an image, whatever it contains."""


def addresses(photos: Sequence[Photo]) -> Any:
    """Return the Arrow table of images that are not read yet: where they are."""
    import pyarrow as pa

    places = [_address(photo) for photo in photos]
    return pa.table(
        {
            "id": pa.array(map(photo_id, photos), pa.string()),
            "place": pa.array([place for place, _ in places], pa.large_binary()),
            "remote": pa.array([remote for _, remote in places], pa.bool_()),
        }
    )


def _address(photo: Photo) -> tuple[bytes, bool]:
    """Return where an image is, whatever the working folder of a process is."""
    if isinstance(photo, RemoteFile):
        return photo.url.encode(), True
    return os.fsencode(photo.absolute()), False


class _Read(NamedTuple):
    """The canvases of an image, or its file as an array; or why there are none."""

    parts: Sequence[Images] = ()
    reason: str | None = None
    unread: bool = False


@dataclass(frozen=True)
class Reading:
    """Reads images: from their `addresses` to a table of packed images.

    Parameters
    ----------
    channels : int
    canvases : sequence of Canvas
        The squares that the model needs of an image. If there are none, the files are packed as they are, and
        decoded where the model is: pixels of whole images are many times larger.
    needs : Needs, optional
        What a machine needs to read them.

    Notes
    -----
    Columns are `id`, `reason` (why the image cannot be read), `unread` (whether that is so since its file
    cannot be read), `parts` (bytes of squares, or of the file), and `shapes` (their shapes `[c, size, size]`,
    one after the other; nothing of a file).
    """

    channels: int
    canvases: Sequence[Canvas]
    needs: Needs | None = None

    def __call__(self, table: Any) -> Any:
        """Read the images of a table.

        Raises
        ------
        DataError
            This machine lacks what it needs.
        StorageError
            A storage cannot be reached.
        """
        import pyarrow as pa

        if self.needs is not None:
            check_once(self.needs)
        columns = [table[name].to_pylist() for name in ("id", "place", "remote")]
        rows = zip(*columns, strict=True)
        with ThreadPoolExecutor(THREADS) as pool:
            found = list(in_order(pool, lambda row: self._read(*row), rows, 2 * THREADS))
        parts = [None if each.reason else [part.tobytes() for part in each.parts] for each in found]
        shapes = [self._shapes(each.parts) for each in found]
        return pa.table(
            {
                "id": table["id"],
                "reason": pa.array([each.reason for each in found], pa.string()),
                UNREAD: pa.array([each.unread for each in found], pa.bool_()),
                "parts": pa.array(parts, pa.large_list(pa.large_binary())),
                "shapes": pa.array(shapes, pa.list_(pa.int32())),
            }
        )

    def _read(self, name: str, place: bytes, remote: bool) -> _Read:
        photo = RemoteFile(place.decode()) if remote else Path(os.fsdecode(place))
        try:
            content = photo.read_bytes()
        except StorageError as error:
            raise unseen(photo, error) from error
        except OSError as error:
            return _Read(reason=str(image_error(name, reason_of(error))), unread=True)
        try:
            if not self.canvases:
                return _Read([np.frombuffer(content, np.uint8)])
            image = decode(content, self.channels, name=name)
            return _Read(parts_of(image, self.canvases))
        except DataError as error:
            return _Read(reason=str(error))
        except MemoryError:
            return _Read(reason=str(image_error(name, "one that does not fit in memory")))

    def _shapes(self, parts: Sequence[Images]) -> list[int]:
        return [side for part in parts for side in part.shape] if self.canvases else []


def entries(table: Any, channels: int) -> Iterator[Entry]:
    """Yield the images of a table of packed images, as `predict_entries` takes them; files are decoded."""
    names = table["id"].to_pylist()
    rows = zip(names, table["reason"].to_pylist(), table["parts"], table["shapes"].to_pylist(), strict=True)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        yield from zip(names, in_order(pool, lambda row: _entry(channels, *row), rows, 4), strict=True)


def _entry(channels: int, name: str, reason: str | None, parts: Any, sides: list[int]) -> list[Images] | str:
    if reason is not None:
        return reason
    buffers = [part.as_buffer() for part in parts]
    if not sides:
        try:
            return [decode(buffers[0].to_pybytes(), channels, name=name)]
        except DataError as error:
            return str(error)
        except MemoryError:
            return str(image_error(name, "one that does not fit in memory"))
    return [
        np.frombuffer(buffer, np.uint8).reshape(sides[3 * index : 3 * index + 3])
        for index, buffer in enumerate(buffers)
    ]
