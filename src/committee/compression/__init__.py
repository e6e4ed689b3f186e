"""Compression: smaller and faster versions of an exported file."""

from typing import TYPE_CHECKING

from committee.base.lazy import reexport

if TYPE_CHECKING:
    from committee.compression.base import Compressor as Compressor

__getattr__, __dir__ = reexport(__name__, family=True)
