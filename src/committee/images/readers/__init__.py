"""Readers: sources of images, labels and splits."""

from typing import TYPE_CHECKING

from committee.base.lazy import reexport

if TYPE_CHECKING:
    from committee.images.readers.base import Reader as Reader
    from committee.images.readers.base import Samples as Samples

__getattr__, __dir__ = reexport(__name__, family=True)
