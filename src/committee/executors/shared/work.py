"""What executors do: tasks, and which folders of a store they write."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from committee.store.layout import Store

if TYPE_CHECKING:
    import torch


class Work(Protocol):
    """How tasks are done. It is pickled and sent to each worker."""

    def do(self, task: Any) -> Any:
        """Do a task; return its result, or the Exception if it fails."""

    def name(self, task: Any) -> str:
        """Return the name of a task for messages."""


class StoredWork(Work, Protocol):
    """Work whose tasks write folders of a store, so that another machine can do them.

    What a task does again, it does with the same result: a task may be repeated.
    """

    store: Store
    device: torch.device

    def has(self, task: Any) -> bool:
        """Return whether the store has all that a task writes."""

    def folders(self, task: Any) -> Sequence[Path]:
        """Return the folders of the store that a task writes."""

    def states(self, task: Any) -> Sequence[Path]:
        """Return the folders of the states from which an interrupted task continues."""

    def received(self, task: Any) -> None:
        """Tidy the store after the folders of a task have come from another machine."""

    def alike(self, task: Any) -> Hashable:
        """Return what tasks have in common that need about the same time and memory."""

    def files(self) -> Collection[Path]:
        """Return the files outside of the store that tasks read."""

    def modules(self) -> Collection[str]:
        """Return the modules of the user's own that tasks import."""
