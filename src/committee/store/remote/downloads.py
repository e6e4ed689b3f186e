"""Files of object storage in a folder of this machine, downloaded once."""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from committee.base import progress
from committee.base.text import count
from committee.errors import CommitteeError, DataError, StoreError, UsageError, first_five, missing
from committee.store import lock
from committee.store.disk import disk_errors, in_words, require_room
from committee.store.inside import inside
from committee.store.manifest import NAME, read_manifest
from committee.store.remote.address import PROTOCOLS, copy_folder, local_path, normalized
from committee.store.remote.client import kind_of, open_client
from committee.store.remote.refusals import READING, RemoteError, is_absent_bucket, no_bucket, refusal

log = logging.getLogger(__name__)

AT_ONCE = 16
"""Number of files that are downloaded at once."""

CHUNK = 8 * 2**20
"""Bytes of a file that are in memory at once."""

FILES, LIST = "files", "files.jsonl"
"""The folder with the files of a bucket, by their keys, and the list of those that are there as a whole."""


class Version(NamedTuple):
    """What identifies the content of an object."""

    size: int
    e_tag: str


def bring(address: str | Path) -> Path:
    """Return the path on this machine of the file or folder at an address, after downloading what is new.

    All of a folder is downloaded, but for hidden files. Of a file, files beside it whose names begin with its
    name are downloaded as well, in which some formats of models store large arrays. Files whose size and ETag
    are those of an earlier download are not downloaded again, and files that are gone are removed.

    Parameters
    ----------
    address : str or Path
        Such as `s3://bucket/photos`; credentials are those of the environment.

    Raises
    ------
    UsageError
        There is no such file or folder, or the address is not one of object storage.
    RemoteError
        The storage cannot be reached, refuses a request, or a file changes while it is downloaded.
    DependencyError
        obstore is not installed.
    StoreError
        The disk is full, or a name leads outside the folder.
    """
    place = normalized(address)
    if (path := local_path(place)) is not None:
        return path
    scheme, _, rest = place.partition("://")
    bucket, _, key = rest.partition("/")
    files = BucketCopy(f"{scheme}://{bucket}")
    found = files.listed(key)
    if not found:
        raise missing(UsageError, place, "Correct the address.", "file or folder")
    files.update(found, key)
    return files.root / key


def bring_named(folder: Path, names: Iterable[str]) -> None:
    """Download files that a table in a downloaded folder names; nothing for other folders.

    Files that the storage lacks are left out, for the reader of the table to report.
    """
    files = next((each for root, each in _open.items() if folder.is_relative_to(root)), None)
    if files is None:
        return
    base = PurePosixPath(folder.relative_to(files.root).as_posix())
    keys = {key for name in names if (key := _joined(base, name)) is not None}
    found = dict[str, Version]()
    for parent in sorted({_parent(key) for key in keys}):
        found |= {key: each for key, each in files.beside(parent).items() if key in keys}
    files.update(found)


def bring_stored(address: str | Path) -> Path:
    """Do what `bring` does; with a file of a folder with a manifest come the other files of this folder."""
    path = bring(address)
    if path.is_file():
        bring_named(path.parent, (NAME,))
        if (path.parent / NAME).is_file():
            bring_named(path.parent, read_manifest(path.parent, verify=False).files)
    return path


@contextlib.contextmanager
def by_address() -> Iterator[None]:
    """Name downloaded files by their addresses in the errors of a block."""
    try:
        yield
    except CommitteeError as error:
        named = copy.copy(error)
        vars(named).update({key: _named(each) for key, each in vars(error).items() if isinstance(each, str)})
        named.args = tuple(map(_named, error.args))
        if str(named) == str(error):
            raise
        raise named from error


def _named(text: str) -> str:
    """Return a text in which the paths of downloaded files are their addresses."""
    for root, bucket in _open.items():
        text = text.replace(root.as_posix(), bucket.address).replace(str(root), bucket.address)
    return text


_open: dict[Path, BucketCopy] = {}


class BucketCopy:
    """The files of a bucket on this machine, by their keys.

    Parameters
    ----------
    address : str
        The address of a bucket.

    Attributes
    ----------
    root : Path
        The folder of the files.
    """

    def __init__(self, address: str) -> None:
        self.address, self.folder = address, copy_folder(address)
        self.root = self.folder / FILES
        self._kind = kind_of(address)
        if self._kind not in PROTOCOLS:
            raise UsageError(
                address,
                expected="a path, or an address of object storage: s3://, gs:// or az://",
                got=f"one of {self._kind}",
                todo="Download the files, and name their folder.",
            )
        self._client = open_client(address)
        self._mutex = threading.Lock()
        _open[self.root] = self

    def listed(self, key: str) -> dict[str, Version]:
        """Return the objects at and below a key, and those beside it whose names begin with its name."""
        import obstore

        with self._errors(key):
            below = [each for chunk in obstore.list(self._client, key or None) for each in chunk]
        found = {each["path"]: _version(each) for each in below if not _is_hidden(each["path"], key)}
        found = _without_marks(found)
        if found or not key:
            return found
        beside = self.beside(_parent(key))
        return {name: each for name, each in beside.items() if name.startswith(key)} if key in beside else {}

    def beside(self, folder: str) -> dict[str, Version]:
        """Return the objects in a folder, without those in its folders."""
        import obstore

        with self._errors(folder):
            found = obstore.list_with_delimiter(self._client, folder or None)
        return {each["path"]: _version(each) for each in found["objects"]}

    def update(self, wanted: Mapping[str, Version], folder: str | None = None) -> None:
        """Download what differs from the copy; remove what a folder has no more."""
        self._check(wanted)
        with lock.exclusive(self.folder / "files.lock"), disk_errors(self.root):
            known = self._known()
            new = {key: each for key, each in wanted.items() if not self._is_there(key, each, known)}
            if folder is not None:
                gone = [key for key in known if key not in wanted and _is_below(key, folder)]
                self._remove(gone, known)
            if new:
                self._download(new)

    def _check(self, wanted: Mapping[str, Version]) -> None:
        """Refuse keys that cannot be names of files, or of which one is a file and a folder of another."""
        odd = [key for key in wanted if not self._is_name(key)]
        odd += [key for key in wanted if any(up.as_posix() in wanted for up in PurePosixPath(key).parents)]
        if odd:
            raise DataError(
                self.address,
                expected="objects that can be files of a folder",
                got=f"others: {first_five(sorted(odd))}",
                todo="Rename or remove these objects.",
            )

    def _is_name(self, key: str) -> bool:
        try:
            return inside(self.root, key) is not None
        except StoreError:
            return False

    def _download(self, new: Mapping[str, Version]) -> None:
        size = sum(each.size for each in new.values())
        require_room(self.root, size)
        log.info("%s: downloading %s (%s)", self.address, count(len(new), "file"), in_words(size))
        with progress.bar(len(new), "downloading") as step, ThreadPoolExecutor(AT_ONCE) as pool:
            tasks = [pool.submit(self._fetch, key, each) for key, each in new.items()]
            try:
                for task in tasks:
                    task.result()
                    step(1)
            finally:
                for task in tasks:
                    task.cancel()

    def _fetch(self, key: str, version: Version) -> None:
        """Download a file under another name, rename it, and note that it is there."""
        place = inside(self.root, key)
        part = place.with_name(f".{place.name}.part")
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            with part.open("wb") as file:
                for chunk in self._chunks(key, version):
                    file.write(chunk)
            if part.stat().st_size != version.size:
                raise self._changed(key)
            part.replace(place)
        finally:
            part.unlink(missing_ok=True)
        self._note([key, version.size, version.e_tag, place.stat().st_mtime_ns])

    def _chunks(self, key: str, version: Version) -> Iterator[bytes]:
        """Yield the content of this version of an object."""
        import obstore
        from obstore.exceptions import PreconditionError

        options: Any = {"if_match": version.e_tag} if version.e_tag else None
        try:
            with self._errors(key):
                for chunk in obstore.get(self._client, key, options=options).stream(CHUNK):
                    yield bytes(chunk)
        except (PreconditionError, FileNotFoundError) as error:
            raise self._changed(key) from error

    def _changed(self, key: str) -> RemoteError:
        return RemoteError(
            f"{self.address}/{key}",
            expected="a file that does not change while it is downloaded",
            got="another version, or none",
            todo="Run the same command again: what has been downloaded is kept.",
        )

    def _known(self) -> dict[str, list[Any]]:
        """Return size, ETag and time of the files that were downloaded as a whole, by their keys."""
        found = dict[str, list[Any]]()
        with contextlib.suppress(FileNotFoundError):
            for line in (self.folder / LIST).read_text("utf-8").splitlines():
                with contextlib.suppress(ValueError, TypeError):  # the last line, if the process was killed
                    key, *facts = json.loads(line)
                    found[key] = facts
        return found

    def _note(self, row: list[Any]) -> None:
        with self._mutex, (self.folder / LIST).open("a", encoding="utf-8") as file:
            file.write(f"\n{json.dumps(row)}\n")

    def _is_there(self, key: str, version: Version, known: Mapping[str, list[Any]]) -> bool:
        try:
            found = inside(self.root, key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        facts = [version.size, version.e_tag, found.st_mtime_ns]
        return found.st_size == version.size and known.get(key) == facts

    def _remove(self, gone: list[str], known: dict[str, list[Any]]) -> None:
        for key in gone:
            place = inside(self.root, key)
            place.unlink(missing_ok=True)
            self._remove_empty(place.parent)
            del known[key]
        if gone:
            rows = (json.dumps([key, *facts]) for key, facts in known.items())
            new = (self.folder / LIST).with_suffix(".new")
            new.write_text("".join(f"{row}\n" for row in rows), "utf-8")
            new.replace(self.folder / LIST)

    def _remove_empty(self, folder: Path) -> None:
        """Remove folders without files, of which storage has none: one would be a class without images."""
        with contextlib.suppress(OSError):  # one that has files
            while folder != self.root:
                folder.rmdir()
                folder = folder.parent

    @contextlib.contextmanager
    def _errors(self, key: str) -> Iterator[None]:
        from obstore import exceptions

        try:
            yield
        except exceptions.PreconditionError:
            raise
        except FileNotFoundError as error:
            if is_absent_bucket(error):
                raise no_bucket(self.address) from error
            raise
        except (exceptions.BaseError, PermissionError, TimeoutError, NotImplementedError) as error:
            raise refusal(f"{self.address}/{key}".rstrip("/"), self._kind, error, READING) from error


def _version(found: Any) -> Version:
    return Version(int(found["size"]), str(found.get("e_tag") or found.get("last_modified") or ""))


def _is_hidden(key: str, base: str) -> bool:
    """Return whether a part of a key below a folder is hidden."""
    return any(part.startswith(".") for part in key.removeprefix(base).strip("/").split("/"))


def _without_marks(found: Mapping[str, Version]) -> dict[str, Version]:
    """Leave out empty objects that stand for folders, as the console of Amazon S3 makes them."""
    folders = {up.as_posix() for key in found for up in PurePosixPath(key).parents}
    return {key: each for key, each in found.items() if each.size or key not in folders}


def _is_below(key: str, folder: str) -> bool:
    return not folder or key == folder or key.startswith(f"{folder}/")


def _parent(key: str) -> str:
    return key.rpartition("/")[0]


def _joined(base: PurePosixPath, name: str) -> str | None:
    """Return the key of a file that a table names, or None if it is none of the bucket."""
    parts = list[str]()
    for part in (*base.parts, *PurePosixPath(name).parts):
        if part == "/" or (part == ".." and not parts):
            return None
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)
