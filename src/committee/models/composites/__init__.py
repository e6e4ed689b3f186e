"""Composites: members that contain other members."""

from typing import TYPE_CHECKING

from committee.base.lazy import reexport

if TYPE_CHECKING:
    from committee.models.composites.base import Composite as Composite

__getattr__, __dir__ = reexport(__name__, family=True)
