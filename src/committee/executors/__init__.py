"""Executors: where the fits of a run are made."""

from typing import TYPE_CHECKING

from committee.base.lazy import reexport

if TYPE_CHECKING:
    from committee.executors.base import Executor as Executor

__getattr__, __dir__ = reexport(__name__, family=True)
