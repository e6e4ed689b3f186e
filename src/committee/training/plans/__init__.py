"""Plans: ways to turn training rows into members."""

from typing import TYPE_CHECKING

from committee.base.lazy import reexport

if TYPE_CHECKING:
    from committee.training.plans.base import Plan as Plan

__getattr__, __dir__ = reexport(__name__, family=True)
