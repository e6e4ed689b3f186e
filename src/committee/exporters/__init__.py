"""Exporters: file formats in which a trained model is shipped."""

from typing import TYPE_CHECKING

from committee.base.lazy import reexport

if TYPE_CHECKING:
    from committee.exporters.base import Card as Card
    from committee.exporters.base import Exporter as Exporter
    from committee.exporters.base import open_exported as open_exported

__getattr__, __dir__ = reexport(__name__, family=True)
