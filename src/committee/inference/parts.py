"""A folder of predictions in numbered Parquet files, each of which is there as a whole or not at all."""

from __future__ import annotations

import contextlib
import io
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from committee.base.text import count
from committee.errors import DataError, UsageError, first_five, printable, unreadable
from committee.images.remote import filesystem, is_url, storage_error
from committee.store.commit import sweep_beside, write_file
from committee.store.manifest import digest
from committee.store.remote.refusals import WRITING

log = logging.getLogger(__name__)

MANIFEST = "_manifest.json"
"""What the parts were made from; readers of Parquet ignore a file with a leading underscore."""
KEY = b"committee"
"""Metadata of each part: its number, and the digest of what all parts were made from."""
OTHER = "Give another folder, or remove this one."


@dataclass(frozen=True)
class Origin:
    """What the parts of a folder are made from.

    Parameters
    ----------
    model : str
        Name of the model, with the settings of its predictions.
    model_digest : str
        Digest of its content.
    images : int
        Number of images.
    images_digest : str
        Digest of their ids and editions, in order.
    columns : str
        Names and types of the columns.

    See Also
    --------
    Parts : The folder.

    Examples
    --------
    >>> from committee.inference.parts import Origin
    >>> first = Origin("vote", "c0ffee", 3, "1234", "id: string")
    >>> Origin("vote", "c0ffee", 4, "5678", "id: string").differs_from(first)
    ('4 images', '3 images')
    """

    model: str
    model_digest: str
    images: int
    images_digest: str
    columns: str

    def differs_from(self, other: Origin) -> tuple[str, str] | None:
        """Return what this and what the other is made from, if they differ."""
        if self.model != other.model:
            return f"predictions of {self.model}", f"those of {other.model}"
        if (self.model_digest, self.columns) != (other.model_digest, other.columns):
            return "predictions of this version of the model", "those of another with the same name"
        if self.images != other.images:
            return count(self.images, "image"), count(other.images, "image")
        if self.images_digest != other.images_digest:
            return "predictions of these images", "those of images that have changed, or of others"
        return None


class Parts:
    """A folder `part-00000.parquet`, ... with `_manifest.json`, on this machine or behind a URL.

    Part k has the rows of the images from `k * rows`, in order. An interrupted run is continued with the
    parts that are missing. A part is written under another name and renamed, or by one request to a storage,
    so no run leaves a half-written one, and no row is in two parts.

    Parameters
    ----------
    folder : str or Path
        A folder, which is created, or a URL such as `s3://bucket/answers`.
    origin : Origin
        What the parts are made from.
    rows : int
        Number of images of a part, of a new folder; one that exists keeps its own.

    Attributes
    ----------
    count : int
        Number of parts.
    failed : int
        Images without a prediction, in the parts that `missing` has found and `write` has written.

    Raises
    ------
    DataError
        The folder has predictions of another model or of other images, or other files.
    UsageError
        The folder cannot be written.
    StorageError
        The storage cannot be reached.

    See Also
    --------
    committee.inference.into_parts.predict_parts : Fills it.

    Examples
    --------
    >>> import tempfile
    >>> import pyarrow as pa
    >>> from committee.inference.parts import Origin, Parts
    >>> table = pa.table({"id": ["a", "b", "c"]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     parts = Parts(folder, Origin("vote", "c0ffee", 3, "1234", "id: string"), rows=2)
    ...     parts.missing(), list(parts.write([table], parts.missing())), parts.missing()
    ([0, 1], [(0, 2), (1, 1)], [])
    """

    def __init__(self, folder: str | Path, origin: Origin, rows: int) -> None:
        self.folder, self.origin = _folder_of(folder), origin
        self.rows = self._claim(rows)
        self.count = -(-origin.images // self.rows)
        self.failed = 0
        self._digest = digest({"origin": asdict(origin), "rows": self.rows})

    def range_of(self, part: int) -> range:
        """Return the places of the images of a part."""
        return range(part * self.rows, min((part + 1) * self.rows, self.origin.images))

    def missing(self) -> list[int]:
        """Return the parts that are not there, or not as a whole."""
        names = set(self.folder.names())
        self._check(names)
        there = [part for part in range(self.count) if _name(part) in names]
        return sorted({*range(self.count)} - {part for part in there if self._is_whole(part)})

    def write(self, tables: Iterable[Any], parts: Sequence[int]) -> Iterator[tuple[int, int]]:
        """Write some parts from tables, which have the rows of their images in order.

        Yields
        ------
        tuple of int and int
            Number and rows of each part, once it is there.
        """
        import pyarrow as pa

        self._begin()
        kept, there = list[Any](), 0
        waiting = iter(parts)
        part = next(waiting, None)
        for table in tables:
            kept.append(table)
            there += len(table)
            while part is not None and there >= (need := len(self.range_of(part))):
                whole = pa.concat_tables(kept)
                self._write(part, whole.slice(0, need))
                yield part, need
                kept, there = [whole.slice(need)], there - need
                part = next(waiting, None)
        assert part is None and not there, "an executor returned another number of rows than of images"

    def _write(self, part: int, table: Any) -> None:
        from pyarrow import parquet

        failed = len(table) - table["error"].null_count if "error" in table.column_names else 0
        self.failed += failed
        facts = json.dumps({"part": part, "digest": self._digest, "failed": failed}).encode()
        file = io.BytesIO()
        parquet.write_table(table.replace_schema_metadata({KEY: facts}), file, compression="zstd")
        self.folder.write(_name(part), file.getvalue())

    def _is_whole(self, part: int) -> bool:
        """Return whether a part has all of its rows; a part of something else is refused."""
        from pyarrow import parquet

        try:
            with self.folder.open(_name(part)) as file:
                facts = parquet.read_metadata(file)
        except ValueError as error:  # of pyarrow, for a damaged file
            log.warning("%s: written again, since it is damaged: %s", self.folder.place(_name(part)), error)
            return False
        told = json.loads((facts.metadata or {}).get(KEY, b"{}"))
        failed = told.pop("failed", 0)
        if told != {"part": part, "digest": self._digest} or facts.num_rows != len(self.range_of(part)):
            raise DataError(
                self.folder.place(_name(part)),
                expected=f"part {part} of the predictions that {MANIFEST} describes",
                got="another file",
                todo=OTHER,
            )
        self.failed += failed
        return True

    def _claim(self, rows: int) -> int:
        """Compare the manifest of an earlier run, if there is one; return the rows of a part."""
        names = self.folder.names()
        self._is_new = MANIFEST not in names
        if not self._is_new:
            return self._compare()
        if names:
            raise DataError(
                self.folder.place(),
                expected=f"an empty folder, or one with {MANIFEST}",
                got=f"the files {first_five(sorted(names))}",
                todo=OTHER,
            )
        return rows

    def _begin(self) -> None:
        if self._is_new:
            text = json.dumps({**asdict(self.origin), "rows": self.rows}, indent=1, ensure_ascii=False)
            self.folder.write(MANIFEST, f"{text}\n".encode())
            self._is_new = False

    def _compare(self) -> int:
        try:
            with self.folder.open(MANIFEST) as file:
                told = json.load(file)
            rows = int(told.pop("rows"))
            there = Origin(**told)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(
                self.folder.place(MANIFEST), expected="a manifest of parts", got=str(error), todo=OTHER
            ) from error
        if (found := self.origin.differs_from(there)) is not None:
            raise DataError(self.folder.place(), expected=found[0], got=found[1], todo=OTHER)
        return rows

    def _check(self, names: set[str]) -> None:
        """Refuse Parquet files beside the parts: whoever reads the folder would read their rows, too."""
        own = {_name(part) for part in range(self.count)}
        others = {name for name in names if name.endswith(".parquet")} - own
        if others:
            raise DataError(
                self.folder.place(),
                expected="no Parquet files beside its parts",
                got=first_five(sorted(others)),
                todo=OTHER,
            )


def _name(part: int) -> str:
    return f"part-{part:05d}.parquet"


class _Folder:
    """A folder on this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def place(self, name: str = "") -> str:
        return printable((self.path / name).as_posix())

    def names(self) -> list[str]:
        """Return the names of the files."""
        if not self.path.exists():
            return []
        with _refusals(self.path):
            return [each.name for each in self.path.iterdir() if not each.name.startswith(".")]

    def open(self, name: str) -> IO[bytes]:
        with _refusals(self.path / name):
            return (self.path / name).open("rb")

    def write(self, name: str, content: bytes) -> None:
        with _refusals(self.path):
            sweep_beside(self.path / name)
            write_file(self.path / name, content)


@contextlib.contextmanager
def _refusals(path: Path) -> Iterator[None]:
    try:
        yield
    except (PermissionError, NotADirectoryError, FileNotFoundError) as error:
        raise unreadable(UsageError, path, error, OTHER, what="folder") from error


class _Bucket:
    """A folder behind a URL: an object is there as a whole or not at all."""

    def __init__(self, url: str) -> None:
        self.url, self._files = url.rstrip("/"), filesystem(url)

    def place(self, name: str = "") -> str:
        return printable(f"{self.url}/{name}" if name else self.url)

    def names(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError), self._errors():
            self._files.invalidate_cache()
            entries = self._files.ls(self._path(), detail=False)
            return [found for each in entries if (found := PurePosixPath(each).name)]
        return []

    def open(self, name: str) -> Any:
        with self._errors():
            return self._files.open(self._path(name), "rb")

    def write(self, name: str, content: bytes) -> None:
        with self._errors():
            self._files.pipe_file(self._path(name), content)

    def _path(self, name: str = "") -> str:
        base: str = self._files._strip_protocol(self.url)
        return f"{base}/{name}" if name else base

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except Exception as error:
            raise storage_error(self.url, error, WRITING) from error


def _folder_of(folder: str | Path) -> _Folder | _Bucket:
    return _Bucket(folder) if isinstance(folder, str) and is_url(folder) else _Folder(Path(folder))
