"""Trackers: where the numbers and the files of runs are recorded."""

from typing import TYPE_CHECKING

from committee.base.lazy import reexport

if TYPE_CHECKING:
    from committee.trackers.base import Tracker as Tracker

__getattr__, __dir__ = reexport(__name__, family=True)
