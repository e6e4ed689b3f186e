"""Whether what a model was loaded from has changed since."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING

from committee.inference.named import path_of
from committee.inference.origins import model_digest

if TYPE_CHECKING:
    from committee.store.layout import Store

Stats = dict[str, tuple[int, int, int]]


class Edition:
    """The state of a model on disk.

    A server answers with what it has loaded. This tells when the store or the file has another model by now.

    Parameters
    ----------
    name : str
        A model of the store, or a path.
    store : Store

    Raises
    ------
    UnknownNameError
        The store has no such model.

    See Also
    --------
    committee.inference.origins.model_digest : The digest of a model.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from committee.serving.edition import Edition
    >>> from committee.store.layout import Store
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "model.onnx")
    ...     _ = file.write_bytes(b"a model")
    ...     edition = Edition(str(file), Store(Path(folder, "store")))
    ...     before = edition.is_changed()
    ...     _ = file.write_bytes(b"another model")
    ...     before, edition.is_changed()
    (False, True)
    """

    def __init__(self, name: str, store: Store) -> None:
        self._name, self._store, self._path = name, store, path_of(name, store)
        self._stats = self._seen()
        self.digest = model_digest(name, store)

    def is_changed(self) -> bool:
        """Return whether the files have another content, or are gone; they are read again if need be."""
        try:
            stats = self._seen()
            if self._path is not None and stats == self._stats:
                return False
            if model_digest(self._name, self._store) != self.digest:
                return True
        except (OSError, LookupError):
            return True
        self._stats = stats
        return False

    def _seen(self) -> Stats:
        """Return inode, size and time of each file; nothing of a model of the store, which has a digest."""
        if self._path is None:
            return {}
        found = {str(each): each.stat() for each in _files(self._path)}
        return {name: (each.st_ino, each.st_size, each.st_mtime_ns) for name, each in found.items()}


def _files(path: Path) -> list[Path]:
    every = path.rglob("*") if path.is_dir() else path.parent.glob(f"{glob.escape(path.name)}*")
    return sorted(each for each in every if each.is_file())
