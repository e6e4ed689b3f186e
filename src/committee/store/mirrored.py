"""A store whose folders are brought from elsewhere when their paths are asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from committee.store.layout import Store


class MirroredStore(Store):
    """A store in a folder of this machine, which mirrors the parts of another store that are used.

    Parameters
    ----------
    root : Path
        The folder of this machine.
    bring : callable
        Called with a path in it before the path is used: brings the stored folders that are there or below.

    See Also
    --------
    Store : The base class.
    """

    def __init__(self, root: Path, bring: Callable[[Path], None]) -> None:
        super().__init__(root)
        self._bring = bring

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the folder alone: processes of this machine use what has been brought."""
        return Store, (self.root,)

    def resume(self, member: str, fold: str | int) -> Path:
        """Return the folder of the state of an interrupted fit; see the base class."""
        place = super().resume(member, fold)
        self._bring(place)
        return place

    def _place(self, *parts: str) -> Path:
        place = super()._place(*parts)
        self._bring(place)
        return place
