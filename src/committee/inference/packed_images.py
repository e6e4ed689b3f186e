"""Decoded images as Arrow tables, from the tasks that read them to the workers that predict them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from committee.errors import DataError, printable
from committee.images.decode import decode, image_error
from committee.images.remote import RemoteFile
from committee.images.threads import in_order
from committee.inference.photos import Photo, bytes_of, photo_id
from committee.inference.predict import Entry, parts_of
from committee.models.predictor import Canvas, Images

THREADS = 8
"""Threads that read files of one task: a storage answers after some milliseconds, whatever the number."""


def addresses(photos: Sequence[Photo]) -> Any:
    """Return the Arrow table of images that are not read yet: where they are."""
    import pyarrow as pa

    places = [_address(photo) for photo in photos]
    return pa.table(
        {
            "place": pa.array([place for place, _ in places], pa.large_binary()),
            "remote": pa.array([remote for _, remote in places], pa.bool_()),
        }
    )


def _address(photo: Photo) -> tuple[bytes, bool]:
    if isinstance(photo, RemoteFile):
        return photo.url.encode(), True
    return os.fsencode(photo), False


@dataclass(frozen=True)
class Reading:
    """Reads images: from their `addresses` to a table of packed images.

    Parameters
    ----------
    channels : int
    canvases : sequence of Canvas
        The squares that the model needs of an image. If there are none, the files are packed as they are, and
        decoded where the model is: pixels of whole images are many times larger.

    Notes
    -----
    Columns are `id`, `reason` (why the image cannot be read), `parts` (bytes of squares, or of the file), and
    `shapes` (their shapes `[c, size, size]`, one after the other; nothing of a file).
    """

    channels: int
    canvases: Sequence[Canvas]

    def __call__(self, table: Any) -> Any:
        """Read the images of a table.

        Raises
        ------
        DataError
            This machine has not even the folder of an image.
        StorageError
            A storage cannot be reached.
        """
        import pyarrow as pa

        columns = (table["place"].to_pylist(), table["remote"].to_pylist())
        photos = [_photo(place, remote) for place, remote in zip(*columns, strict=True)]
        with ThreadPoolExecutor(THREADS) as pool:
            found = list(in_order(pool, self._read, photos, 2 * THREADS))
        parts = [None if isinstance(each, str) else [part.tobytes() for part in each] for each in found]
        shapes = [[] if isinstance(each, str) else self._shapes(each) for each in found]
        return pa.table(
            {
                "id": pa.array(map(photo_id, photos), pa.string()),
                "reason": pa.array([each if isinstance(each, str) else None for each in found], pa.string()),
                "parts": pa.array(parts, pa.large_list(pa.large_binary())),
                "shapes": pa.array(shapes, pa.list_(pa.int32())),
            }
        )

    def _read(self, photo: Photo) -> list[Images] | str:
        """Return the canvases of an image, its file as an array, or the text of its error."""
        if isinstance(photo, Path) and not photo.exists() and not photo.parent.exists():
            raise unseen(photo)
        try:
            content = bytes_of(photo)
            if not self.canvases:
                return [np.frombuffer(content, np.uint8)]
            return parts_of(decode(content, self.channels, name=str(photo.as_posix())), self.canvases)
        except DataError as error:
            return str(error)
        except MemoryError:
            return str(image_error(str(photo.as_posix()), "one that does not fit in memory"))

    def _shapes(self, parts: Sequence[Images]) -> list[int]:
        return [side for part in parts for side in part.shape] if self.canvases else []


def _photo(place: bytes, remote: bool) -> Photo:
    return RemoteFile(place.decode()) if remote else Path(os.fsdecode(place))


def unseen(photo: Path) -> DataError:
    """Return the error for an image of the driver that this machine does not see."""
    import socket

    return DataError(
        printable(str(photo)),
        expected="a path that all machines of the cluster see",
        got=f"one that {socket.gethostname()} does not see",
        todo="Put the images on a disk that they share, or on an object storage (s3://...).",
    )


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
