"""The part of a combiner that knows the task of its members."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from torch import nn

from committee.base.registry import Family
from committee.errors import UsageError
from committee.predictions.target_types import CLASSES, TargetType
from committee.tasks.base import Task, task_for

FAMILY = "committee.combiners", "combiner"
CONDITIONAL = "A network predicts all pixels of an image at once, so that this rule would run all of them. "


class Serving(nn.Module):
    """A module that combines the outputs of members of a task; see `committee.combiners.Combiner`.

    Attributes
    ----------
    serves : tuple of str
        Names of the target types that the rule combines; those of pixels, for maps.
    is_conditional : bool
        Whether the rule evaluates some members on a part of the rows only. It does not combine maps, since a
        network predicts all pixels of an image at once.
    task : Task
        The task of the members.
    """

    key: ClassVar[str]
    serves: ClassVar[tuple[str, ...]] = (CLASSES.name,)
    is_conditional: bool = False

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
            if not serves(type(part), task.target_type):
                why = CONDITIONAL if part.is_conditional and task.target_type.dense else ""
                raise UsageError(
                    part.key,
                    expected=f"predictions of {' or '.join(part.serves)}",
                    got=f"predictions of {task.target_type.name}",
                    todo=f"{why}Use one of {', '.join(serving(task))}.",
                )
            part.task = task
        return self


def default_task() -> Task:
    """Return the task of an unfitted rule."""
    return task_for(CLASSES)


def serving(task: Task) -> tuple[str, ...]:
    """Return the keys of the combiners that serve a task."""
    family: Family[Any] = Family(*FAMILY)
    return tuple(name for name in family.names() if serves(family.load(name), task.target_type))


def serves(rule: type[Serving], target_type: TargetType) -> bool:
    """Return whether a rule combines such predictions; those of maps are combined pixel by pixel.

    Rules that run some members for a part of the rows do not combine maps.
    """
    return target_type.of_rows.name in rule.serves and not (target_type.dense and rule.is_conditional)
