"""Networks of one architecture that run and train as one network."""

from typing import TYPE_CHECKING

from committee.base.lazy import reexport

if TYPE_CHECKING:
    from committee.models.stacked.alike import NotStackable as NotStackable
    from committee.models.stacked.alike import groups as groups
    from committee.models.stacked.stack import Stack as Stack

__getattr__, __dir__ = reexport(__name__)
