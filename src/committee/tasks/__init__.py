"""Tasks: what is predicted, and all that follows from it."""

from typing import TYPE_CHECKING

from committee.base.lazy import reexport

if TYPE_CHECKING:
    from committee.tasks.base import Task as Task
    from committee.tasks.base import task_of as task_of

__getattr__, __dir__ = reexport(__name__, family=True)
