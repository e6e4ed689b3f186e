"""Fusion heads: classifiers on the embeddings of several networks."""

from typing import TYPE_CHECKING

from committee.base.lazy import reexport

if TYPE_CHECKING:
    from committee.models.fusions.base import FusionHead as FusionHead

__getattr__, __dir__ = reexport(__name__, family=True)
