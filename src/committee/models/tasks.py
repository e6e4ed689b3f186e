"""The task of a model and the names of its outputs, from arguments or from the parts of the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from torch import nn

from committee.base.text import count, count_parameters
from committee.errors import DataError, UsageError
from committee.models.measure import parameters
from committee.predictions.target_types import CLASSES, NUMBERS
from committee.tasks.base import TASKS, Task, task_for, task_of_model


class NamedOutputs:
    """A model with names of its outputs.

    Attributes
    ----------
    class_names : tuple of str
        The names of classes, or of targets.
    units : tuple of str
        The unit of each target; none if they are not known.
    """

    class_names: tuple[str, ...]
    units: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Return one line in place of the tree of modules."""
        model: Any = self  # a module with a task, and most have a name
        name = f"{model.name}: " if hasattr(model, "name") else ""
        sizes = f"{count(len(self.class_names), 'output')}, {count_parameters(parameters(model))}"
        return f"{type(self).__name__}({name}{model.task.key}, {sizes})"

    @property
    def target_names(self) -> tuple[str, ...]:
        """The names of the outputs, if these are targets."""
        return self.class_names


def task_and_names(
    task: Task | str | None, classes: Sequence[str] | None, targets: Sequence[str] | None, who: str
) -> tuple[Task, Sequence[str]]:
    """Return the task of a new member and the names of its outputs.

    Parameters
    ----------
    task : Task or str, optional
        The task or its name; by default, it follows from which names are given.
    classes, targets : sequence of str, optional
        The names of the classes or of the targets: one of the two.
    who : str
        Name of the member in errors.

    Raises
    ------
    UsageError
        Both kinds of names are given, or neither, or not those of the task; or names are no distinct names.
    UnknownNameError
        There is no such task.
    """
    targets = [targets] if isinstance(targets, str) else targets
    given = {type_: names for type_, names in ((CLASSES, classes), (NUMBERS, targets)) if names is not None}
    if len(given) != 1:
        raise UsageError(
            who,
            expected="the names of the classes, or of the targets (numbers)",
            got="both" if given else "neither",
            todo="Pass classes=[...] or targets=[...].",
        )
    [(type_, names)] = given.items()
    found = task_for(type_) if task is None else TASKS.make(task) if isinstance(task, str) else task
    if found.target_type.of_rows is not type_:
        raise UsageError(
            f"{who}: task {found.key}",
            expected=f"the names of the {found.target_type.outputs}",
            got=f"those of {type_.outputs}",
            todo=f"Pass {found.target_type.outputs}=[...].",
        )
    return found, _distinct(names, f"{who}: {type_.outputs}")


def _distinct(names: Any, who: str) -> Sequence[str]:
    given = [str(name) for name in names] if isinstance(names, Iterable) else []
    if not given:
        raise UsageError(who, expected="a sequence of names", got=repr(names))
    twice = next((name for place, name in enumerate(given) if name in given[:place]), None)
    if twice is not None:
        raise UsageError(who, expected="distinct names", got=f"'{twice}' twice")
    return given


def outputs_of(names: Sequence[str], task: Task, variance: bool, who: str) -> int:
    """Return the number of outputs of a network."""
    if variance and not task.variances:
        raise UsageError(
            f"{who}: variance",
            expected="a network that predicts one number for each target of an image",
            got=f"one of {task.target_type.name.replace('_', ' ')}",
            todo="Leave it out.",
        )
    return 2 * len(names) if variance else len(names)


def checked_units(units: Sequence[str], names: Sequence[str], who: str) -> tuple[str, ...]:
    """Return the units of the targets, checked; no units are units that are not known."""
    units = (units,) if isinstance(units, str) else tuple(map(str, units))
    if units and len(units) != len(names):
        raise UsageError(
            f"{who}: units",
            expected=f"{len(names)}, one for each of {', '.join(names)}",
            got=str(len(units)),
            todo="Give a target without a unit the unit ''.",
        )
    return units


def common_task(names: Sequence[str], members: Iterable[nn.Module]) -> Task:
    """Return the task of the members of an ensemble.

    Raises
    ------
    DataError
        Two members have different tasks.
    """
    tasks = [task_of_model(member) for member in members]
    for name, task in zip(names, tasks, strict=True):
        if task.key != tasks[0].key:
            raise DataError(
                f"ensemble member '{name}'",
                expected=f"the task of '{names[0]}', {tasks[0].key}",
                got=task.key,
                todo="Make one ensemble for each task.",
            )
    return tasks[0]


def units_of(members: Iterable[nn.Module], names: Sequence[str]) -> tuple[str, ...]:
    """Return the units of targets in the order of `names`: those of the first member that has units."""
    for member in members:
        own = dict(zip(getattr(member, "class_names", ()), getattr(member, "units", ()), strict=False))
        if own:
            return tuple(own.get(name, "") for name in names)
    return ()
