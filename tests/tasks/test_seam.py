"""Only a task knows which task it is: no other file of the package asks for one by its name or its type."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import committee
from committee.predictions.target_types import TARGET_TYPES
from committee.tasks.base import TASKS

ROOT = Path(committee.__file__).parent
KEYS = set(TASKS.names())
CLASSES = {type(TASKS.make(key)).__name__ for key in KEYS}
TYPES = {name.upper() for name in TARGET_TYPES}
CHECKS = ("isinstance", "issubclass")
ALLOWED = {
    "exporters/base.py": "Exported files of classes are as before: they name no type.",
    "solvers/columns.py": "It is below the tasks, which use it.",
    "solvers/evidence.py": "It is below the tasks, which use it.",
    "models/tasks.py": "It turns the arguments `classes` and `targets` of a model into a type.",
    "in_memory/labels.py": "It reads labels of arrays, before there is a data set that has a task.",
    "models/_images.py": "It reads labels of arrays, before there are predictions that have a task.",
}
"""Files outside of `tasks/` and `predictions/` that may name a type of targets, and why."""


def constants(node: ast.AST) -> set[object]:
    return {each.value for each in ast.walk(node) if isinstance(each, ast.Constant)}


def names(node: ast.AST) -> set[str]:
    return {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}


def operands(node: ast.Compare | ast.MatchValue) -> list[ast.AST]:
    """Return what is compared: names, their attributes, and those in a tuple; not arguments of calls."""
    found = [node.left, *node.comparators] if isinstance(node, ast.Compare) else [node.value]
    inner = [each.elts if isinstance(each, ast.Tuple | ast.List | ast.Set) else [each] for each in found]
    return [each for some in inner for each in some if isinstance(each, ast.Name | ast.Attribute)]


def questions(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield where a tree asks which task or type of targets there is."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare | ast.MatchValue):
            if constants(node) & KEYS:
                yield node.lineno, "compares with the name of a task"
            if any(names(each) & TYPES for each in operands(node)):
                yield node.lineno, "compares with a type of targets"
        elif isinstance(node, ast.Dict) and constants(ast.Tuple([k for k in node.keys if k])) & KEYS:
            yield node.lineno, "has a table by the name of a task"
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in CHECKS and names(node) & CLASSES:
            yield node.lineno, "tests for the class of a task"


@pytest.mark.parametrize(
    "text",
    [
        "task.key == 'regression'",
        "x = 1 if key in ('classification', 'other') else 2",
        "predictions.target_type is NUMBERS",
        "found.name in (NUMBERS.name, other)",
        "isinstance(task, Regression)",
        "{'regression': 1}[task.key]",
        "match key:\n    case 'regression':\n        pass",
    ],
)
def test_the_rule_finds_each_kind_of_question(text):
    assert list(questions(ast.parse(text)))


def test_nothing_outside_of_the_tasks_asks_which_task_it_is():
    found = [
        f"{path}:{line} {what}"
        for file in sorted(ROOT.rglob("*.py"))
        for path in [file.relative_to(ROOT).as_posix()]
        if path.split("/")[0] not in ("tasks", "predictions") and path not in ALLOWED
        for line, what in questions(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert not found, "Ask the task (committee.tasks.base.Task), and add a method where one is missing."


def test_every_exception_is_needed():
    used = [
        path
        for path in ALLOWED
        if (ROOT / path).exists() and TYPES & names(ast.parse((ROOT / path).read_text(encoding="utf-8")))
    ]
    assert sorted(used) == sorted(ALLOWED)
