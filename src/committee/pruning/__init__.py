"""Pruning methods: how the members of an ensemble are selected."""

from typing import TYPE_CHECKING

from committee.base.lazy import reexport

if TYPE_CHECKING:
    from committee.pruning.base import Pruner as Pruner

__getattr__, __dir__ = reexport(__name__, family=True)
