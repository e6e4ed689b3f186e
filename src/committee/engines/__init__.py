"""Engines: ways to run a trained model in this process, of which the fastest is found by measurement."""

from typing import TYPE_CHECKING

from committee.base.lazy import reexport

if TYPE_CHECKING:
    from committee.engines.base import Engine as Engine

__getattr__, __dir__ = reexport(__name__, family=True)
