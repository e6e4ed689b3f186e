"""Paths of many files, of which each is made when it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload


class Files(Sequence[Path]):
    """The paths of N files in a folder: N `Path` objects would need as much memory as small images.

    Parameters
    ----------
    root : Path
        The folder.
    names : list of N str
        Paths relative to it, with `/`, or absolute ones. The list is not copied.

    Examples
    --------
    >>> from pathlib import Path
    >>> from committee.images.files import Files
    >>> files = Files(Path("data"), ["a.png", "b/c.png"])
    >>> files[1].as_posix(), len(files[:1])
    ('data/b/c.png', 1)
    """

    def __init__(self, root: Path, names: list[str]) -> None:
        self.root, self.names = root, names

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, place: int) -> Path: ...

    @overload
    def __getitem__(self, place: slice) -> Files: ...

    def __getitem__(self, place: int | slice) -> Path | Files:
        found = self.names[place]
        return self.root / found if isinstance(found, str) else Files(self.root, found)
