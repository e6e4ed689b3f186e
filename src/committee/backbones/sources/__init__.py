"""Backbone sources: libraries that build a network from its name."""

from typing import TYPE_CHECKING

from committee.base.lazy import reexport

if TYPE_CHECKING:
    from committee.backbones.base import Source as Source

__getattr__, __dir__ = reexport(__name__, family=True)
