"""The layout, read from the source: who may import whom, how long things are, and every family in reach."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import committee
from committee.base.registry import Family

ROOT = Path(committee.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
ORDER = (
    ("errors", "_version"),
    ("base",),
    ("untrusted",),
    ("store",),
    ("executors",),
    ("recipe",),
    ("backbones",),
    ("predictions",),
    ("metrics",),
    ("solvers",),
    ("tasks",),
    ("images",),
    ("pruning",),
    ("combiners",),
    ("scoring",),
    ("models",),
    ("compression",),
    ("exporters",),
    ("engines",),
    ("training",),
    ("in_memory",),
    ("trackers",),
    ("pipeline",),
    ("inference",),
    ("serving",),
    ("report",),
    ("debug",),
    ("cli", "__main__"),
)
"""The folders of the package, lowest first: a file imports from its own folder and from lower ones."""
REEXPORT = re.compile(
    r"from typing import TYPE_CHECKING"
    r"|from committee\._version import __version__ as __version__"
    r"|from committee\.base\.lazy import reexport"
    r"|if TYPE_CHECKING:(\n    from committee\.[\w.]+ import (\w+) as \2)+"
    r"|\(?__getattr__, __dir__\)? = reexport\(__name__(, family=True)?\)"
)
"""The statements that an `__init__.py` may hold below its docstring; it may also be empty."""
EXAMPLE = re.compile(r"^ *(?:>>>|\.\.\.) (.*)", re.MULTILINE)
LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {dotted(path): path for path in FILES}
PACKAGES = {dotted(path) for path in FILES if path.name == "__init__.py"}
FAMILIES = {
    name
    for path in FILES
    for name in re.findall(r'\bFamily\(\s*"([\w.]+)"', path.read_text(encoding="utf-8"))
}
"""The packages that some file makes a family of."""


@cache
def trees() -> dict[str, ast.Module]:
    """Return the parsed source of each module: only a process that runs these tests needs seconds for it."""
    return {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}


@cache
def nodes() -> list[ast.AST]:
    return [node for tree in trees().values() for node in ast.walk(tree)]


def level_of(module: str) -> int:
    return LEVEL[module.split(".")[1]]


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """All imports of our own modules, those inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            name = "." * node.level + (node.module or "")
            if node.level or name.split(".")[0] == "committee":
                inner = [f"{name}.{each.name}" for each in node.names]
                yield from ((each if each in MODULES else name, node.lineno) for each in inner)
        elif isinstance(node, ast.Import):
            yield from ((each.name, node.lineno) for each in node.names if each.name.startswith("committee"))


def is_entry(module: str, family: str) -> bool:
    package, _, leaf = module.rpartition(".")
    return package == family and leaf != "base" and leaf[0] != "_" and module not in PACKAGES


OWN = [name for name in MODULES if name != "committee"]


def test_every_folder_has_a_level() -> None:
    assert {name.split(".")[1] for name in OWN} <= set(LEVEL)


def test_imports_go_downwards() -> None:
    wrong = [
        f"{MODULES[module]}:{line} imports {name}"
        for module in OWN
        for name, line in imports(trees()[module])
        if name.count(".") and level_of(name) > level_of(module)
    ]
    assert not wrong


def test_no_name_is_imported_from_a_package_or_by_dots() -> None:
    wrong = [
        f"{MODULES[module]}:{line} imports {name}"
        for module in OWN
        for name, line in imports(trees()[module])
        if name in PACKAGES or name.startswith(".")
    ]
    assert not wrong


@pytest.mark.parametrize("family", sorted({"committee.cli", *FAMILIES}))
def test_no_entry_of_a_family_is_imported_by_another(family: str) -> None:
    entries = {name for name in MODULES if is_entry(name, family)}
    wrong = [
        f"{MODULES[module]}:{line} imports {name}"
        for module in MODULES
        if module.rpartition(".")[0] == family
        for name, line in imports(trees()[module])
        if name in entries
    ]
    assert not wrong


def private_owner(name: str) -> str | None:
    """Return the folder or file to which an imported name is private; None for a public name."""
    parts = name.split(".")
    private = (place for place, part in enumerate(parts) if re.match("_(?!_)", part))
    return next((".".join(parts[:place]) for place in private), None)


def test_what_begins_with_an_underscore_is_imported_in_its_own_folder_alone() -> None:
    found = (
        (module, f"{node.module}.{each.name}", node.lineno)
        for module, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("committee")
        for each in node.names
    )
    wrong = [
        f"{MODULES[module]}:{line} imports {name}"
        for module, name, line in found
        if (owner := private_owner(name)) is not None and not f"{module}.".startswith(f"{owner}.")
    ]
    assert not wrong


def test_every_function_of_a_file_is_used_in_the_package_or_offered_by_it() -> None:
    used = names_in(*trees().values()) | {node.attr for node in nodes() if isinstance(node, ast.Attribute)}
    for path in FILES:  # examples in docstrings
        used |= {
            word for line in EXAMPLE.findall(path.read_text("utf-8")) for word in re.findall(r"\w+", line)
        }
    inits = (node for package in PACKAGES for node in ast.walk(trees()[package]))
    used |= {each.name for node in inits if isinstance(node, ast.ImportFrom) for each in node.names}
    unused = [
        f"{MODULES[module]}:{node.lineno} {node.name}"
        for module, tree in trees().items()
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name not in used
    ]
    assert not unused


def test_no_option_is_accepted_and_ignored() -> None:
    """Constructors use each of their parameters, and some file reads each key of a recipe."""
    ignored = [
        f"{MODULES[module]}:{node.lineno} {name}"
        for module, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name == "__init__"
        for name in {each.arg for each in (*node.args.args, *node.args.kwonlyargs)} - names_in(*node.body)
        if name != "self"
    ]
    read = {node.attr for node in nodes() if isinstance(node, ast.Attribute)}
    read |= {node.value for node in nodes() if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    keys = [
        (module, node.target)
        for module, tree in trees().items()
        if module.startswith("committee.recipe.")
        for section in tree.body
        if isinstance(section, ast.ClassDef)
        for node in section.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    ]
    assert keys
    ignored += [f"{MODULES[module]}:{key.lineno} {key.id}" for module, key in keys if key.id not in read]
    assert not ignored


def names_in(*nodes: ast.AST) -> set[str]:
    return {each.id for node in nodes for each in ast.walk(node) if isinstance(each, ast.Name)}


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_package_files_hold_only_lazy_reexports(package: str) -> None:
    statements = [ast.unparse(node) for node in trees()[package].body]
    assert not statements or ast.get_docstring(trees()[package])
    assert not [each for each in statements[1:] if not REEXPORT.fullmatch(each)]


def test_files_and_functions_are_short() -> None:
    long = [f"{path}: {n} lines" for path in FILES if (n := len(path.read_text("utf-8").splitlines())) > 400]
    long += [
        f"{MODULES[name]}:{node.lineno} {node.name}: {lines_of(node)} lines"
        for name, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and lines_of(node) > 50
    ]
    assert not long


def lines_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function, its docstring aside."""
    first = node.body[0]
    described = ast.get_docstring(node) is not None
    docstring = (first.end_lineno or 0) - first.lineno + 1 if described else 0
    return (node.end_lineno or 0) - node.lineno + 1 - docstring


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_entry_of_a_family_loads(family: str) -> None:
    entries: Family[object] = Family(family, "entry")
    assert entries.names()
    for name in entries.names():
        assert isinstance(entries.load(name), type)


def test_the_table_of_families_has_a_row_with_a_contract_for_each() -> None:
    page = (ROOT.parents[1] / "docs/architecture.md").read_text(encoding="utf-8")
    table = page.partition("## Families")[2].partition("## Contracts")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")][1:]
    assert {len(row) for row in rows} == {3}
    folders = {f"committee.{row[1].strip('`/').replace('/', '.')}" for row in rows}
    assert folders == {"committee.cli", *FAMILIES}


def test_command_line_files_import_only_what_is_light() -> None:
    light = {
        *sys.stdlib_module_names,
        "committee.errors",
        "committee.base.interrupt",
        "committee.base.registry",
        "committee.base.text",
        "committee._version",
    }
    heavy = [
        f"{MODULES[module]} imports {name}"
        for module in MODULES
        if module.startswith("committee.cli.")
        for name in imported_at_once(trees()[module])
        if not {name, name.split(".")[0]} & light and not name.startswith("committee.cli._")
    ]
    assert not heavy


def imported_at_once(tree: ast.Module) -> list[str]:
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [node.module or "" for node in top if isinstance(node, ast.ImportFrom)]
    return names + [each.name for node in top if isinstance(node, ast.Import) for each in node.names]


def test_the_package_offers_its_names_and_no_more() -> None:
    for name in committee.__all__:
        assert getattr(committee, name) is not None
    with pytest.raises(AttributeError, match="module 'committee' has no attribute 'nothing'"):
        committee.nothing
