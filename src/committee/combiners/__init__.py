"""Combiners: rules that turn the outputs of several members into one output."""

from typing import TYPE_CHECKING

from committee.base.lazy import reexport

if TYPE_CHECKING:
    from committee.combiners.base import Combiner as Combiner
    from committee.combiners.base import build as build
    from committee.combiners.base import load as load
    from committee.combiners.base import save as save

__getattr__, __dir__ = reexport(__name__, family=True)
