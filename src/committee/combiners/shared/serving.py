"""The part of a combiner that knows the task of its members."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from torch import nn

from committee.base.registry import Family
from committee.errors import UsageError
from committee.predictions.target_types import CLASSES
from committee.tasks.base import Task, task_for

FAMILY = "committee.combiners", "combiner"


class Serving(nn.Module):
    """A module that combines the outputs of members of a task; see `committee.combiners.Combiner`.

    Attributes
    ----------
    serves : tuple of str
        Names of the target types that the rule combines.
    task : Task
        The task of the members.
    """

    key: ClassVar[str]
    serves: ClassVar[tuple[str, ...]] = (CLASSES.name,)

    def __init__(self) -> None:
        super().__init__()
        self.task = default_task()

    def assign(self, task: Task) -> Self:
        """Set the task of the members, in the parts of the rule too; that of an unfitted rule is classes.

        Raises
        ------
        UsageError
            The rule, or a part of it, does not serve such labels; the message lists rules that do.
        """
        for part in self.modules():
            if not isinstance(part, Serving):
                continue
            if task.target_type.of_rows.name not in part.serves:
                raise UsageError(
                    part.key,
                    expected=f"predictions of {' or '.join(part.serves)}",
                    got=f"predictions of {task.target_type.name}",
                    todo=f"Use one of {', '.join(serving(task))}.",
                )
            part.task = task
        return self


def default_task() -> Task:
    """Return the task of an unfitted rule."""
    return task_for(CLASSES)


def serving(task: Task) -> tuple[str, ...]:
    """Return the keys of the combiners that serve a task."""
    family: Family[Any] = Family(*FAMILY)
    return tuple(name for name in family.names() if task.target_type.of_rows.name in family.load(name).serves)
