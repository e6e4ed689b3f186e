"""The images that are predicted: files of this machine, and files behind URLs."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from committee.base.text import count
from committee.errors import DataError, StorageError, UsageError, missing, printable, unreadable
from committee.images.decode import decode, find_images, image_error, reason_of, warn_of_others
from committee.images.remote import RemoteFile, find_remote, is_url
from committee.models.predictor import Images

log = logging.getLogger(__name__)

Photo = Path | RemoteFile


def find_photos(paths: Iterable[str | Path]) -> list[Photo]:
    """Return the given files, and the images in the given folders and below, each once.

    Parameters
    ----------
    paths : iterable of str or Path
        Files and folders, and URLs of them such as `s3://bucket/folder`. Images in a folder behind a URL are
        known by their suffix, others also by their content.

    Raises
    ------
    UsageError
        A path does not exist, or cannot be read.
    DataError
        A folder contains no image, or a URL does not exist.
    StorageError
        A storage cannot be listed.
    DependencyError
        A package for URLs is not installed.

    Examples
    --------
    >>> import fsspec
    >>> from committee.inference.photos import find_photos
    >>> fsspec.filesystem("memory").pipe({"/scans/a.png": b"", "/scans/b/c.jpg": b"", "/scans/d.txt": b""})
    >>> [photo.as_posix() for photo in find_photos(["memory://scans"])]
    ['memory://scans/a.png', 'memory://scans/b/c.jpg']
    """
    found: dict[Photo, None] = {}
    for path in paths:
        found |= dict.fromkeys(
            _behind(path) if isinstance(path, str) and is_url(path) else find_files(Path(path))
        )
    return list(found)


def _behind(url: str) -> list[RemoteFile]:
    images, others = find_remote(url)
    if not images:
        raise _none_in(url)
    if others:
        left_out = count(others, "file")
        log.info("%s: left out %s without the suffix of a JPEG, PNG or WebP image", printable(url), left_out)
    return images


def find_files(path: Path) -> list[Path]:
    """Return a file, or the images in a folder and below; raises what `find_photos` raises."""
    try:
        if path.is_dir():
            images, others = find_images(path)
            warn_of_others(path, others)
            if not images:
                raise _none_in(path)
            return images
        exists = path.exists()
    except OSError as error:
        raise unreadable(UsageError, error.filename or path, error, what="path") from error
    if not exists:
        raise missing(UsageError, path, what="file or folder")
    return [path]


def _none_in(folder: object) -> DataError:
    return DataError(
        printable(str(folder)),
        expected="a folder that contains JPEG, PNG or WebP images",
        got="one that contains none",
    )


def photo_id(photo: Photo) -> str:
    """Return the id of an image: its path with `/`, in which bytes that are not valid UTF-8 are escaped."""
    return photo.as_posix().encode(errors="backslashreplace").decode()


def read_photo(photo: Photo, channels: int) -> Images:
    """Return the pixels of an image, uint8 `[channels, H, W]`.

    Raises
    ------
    ImageError
        The image does not exist, or cannot be decoded.
    StorageError
        The storage of the image cannot be reached.
    """
    if isinstance(photo, Path):
        return decode(photo, channels)
    return decode(bytes_of(photo), channels, name=photo.url)


def bytes_of(photo: Photo) -> bytes:
    """Return the file of an image; raises what `read_photo` raises."""
    try:
        return photo.read_bytes()
    except StorageError:
        raise
    except OSError as error:
        raise image_error(str(photo.as_posix()), reason_of(error)) from error


def edition(photo: Photo) -> tuple[object, ...]:
    """Return what differs if an image has changed: size and time, or what its storage says of it."""
    if isinstance(photo, RemoteFile):
        return photo.size, photo.version
    try:
        found = photo.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns
