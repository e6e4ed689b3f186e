"""Object storage as a file system of fsspec, for code that takes one."""

from __future__ import annotations

from functools import cache
from typing import Any

from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

from committee.store.remote.address import PROTOCOLS
from committee.store.remote.client import open_client


class ObjectFiles(AbstractFileSystem):
    """The objects of all buckets of a protocol.

    Names are `bucket/key`. All requests are synchronous: the file system that obstore has itself sends them
    from threads of its own, which end the process with SIGABRT if an answer comes while the interpreter ends.

    Parameters
    ----------
    scheme : str
        One of `committee.store.remote.address.PROTOCOLS`.

    Examples
    --------
    >>> from committee.store.remote.files import ObjectFiles
    >>> ObjectFiles._strip_protocol("s3://bucket/photos/a#1.jpg")
    'bucket/photos/a#1.jpg'
    """

    protocol = tuple(name for names in PROTOCOLS.values() for name in names)

    def __init__(self, scheme: str, **options: Any) -> None:
        super().__init__(**options)
        self.scheme = scheme
        self._client = cache(lambda bucket: open_client(f"{scheme}://{bucket}"))

    def ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        """Return the entries of a folder: with `detail`, their name, size, type and `e_tag`."""
        import obstore

        client, bucket, key = self._place(path)
        found = obstore.list_with_delimiter(client, key or None)
        entries = [_entry(bucket, each) for each in found["objects"]]
        entries += [
            {"name": f"{bucket}/{name}", "size": 0, "type": "directory"} for name in found["common_prefixes"]
        ]
        if not entries:
            raise FileNotFoundError(path)
        return entries if detail else sorted(entry["name"] for entry in entries)

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Return the entry of an object, or of a folder."""
        import obstore

        client, bucket, key = self._place(path)
        try:
            return _entry(bucket, obstore.head(client, key))
        except FileNotFoundError:
            self.ls(path)
            return {"name": path, "size": 0, "type": "directory"}

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        """Return the content of an object, or its bytes from `start` up to `end`."""
        import obstore

        client, _bucket, key = self._place(path)
        if start is None or end is None:
            return bytes(obstore.get(client, key).bytes())[start:end]
        return bytes(obstore.get_range(client, key, start=start, end=end))

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        """Write an object, which is there as a whole or not at all."""
        import obstore

        client, _bucket, key = self._place(path)
        obstore.put(client, key, value)

    def _open(self, path: str, mode: str = "rb", block_size: Any = None, **_: Any) -> Any:
        if mode != "rb":
            raise ValueError(f"{path}: objects are written by pipe_file")
        return _Reader(self, path, mode, block_size or "default")

    def _place(self, path: str) -> tuple[Any, str, str]:
        """Return the client, the bucket and the key of a path."""
        bucket, _, key = self._strip_protocol(path).partition("/")
        return self._client(bucket), bucket, key


class _Reader(AbstractBufferedFile):
    def _fetch_range(self, start: int, end: int) -> bytes:
        content: bytes = self.fs.cat_file(self.path, start, end)
        return content


def _entry(bucket: str, found: Any) -> dict[str, Any]:
    name = f"{bucket}/{found['path']}"
    return {"name": name, "size": found["size"], "type": "file", "e_tag": found["e_tag"]}
