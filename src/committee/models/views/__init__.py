"""Test-time views: one file per set of views of an image under which a network predicts."""

from typing import TYPE_CHECKING

from committee.base.lazy import reexport

if TYPE_CHECKING:
    from committee.models.views.base import SingleView as SingleView
    from committee.models.views.base import Views as Views

__getattr__, __dir__ = reexport(__name__, family=True)
