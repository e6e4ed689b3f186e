"""Families of classes: a folder is a family, a file an entry, and the file name its key."""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import inspect
from collections.abc import Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeGuard, TypeVar, cast

from committee.base.lazy import entries
from committee.errors import UnknownNameError, UsageError, first_five, nearest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Entry = TypeVar("Entry")


class Family(Generic[Entry]):
    """The entries of one folder, and those that other packages add through entry points.

    Entries are imported when they are loaded. Each file contains one public class; `base.py` and files whose
    names start with an underscore are not entries.

    Parameters
    ----------
    package : str
        Import path of the folder, such as `committee.combiners`; also the entry-point group.
    what : str
        Name of one entry in error messages, such as `combiner`.

    See Also
    --------
    committee.recipe.section.entry_of : The type of an entry's name in a recipe.

    Examples
    --------
    >>> from committee.base.registry import Family
    >>> readers = Family("committee.images.readers", "reader")
    >>> "csv" in readers.names()
    True
    >>> readers.load("csv").__name__
    'Csv'
    """

    def __init__(self, package: str, what: str) -> None:
        self.package = package
        self.what = what

    @cached_property
    def _own(self) -> tuple[str, ...]:
        return entries(self.package)

    @cached_property
    def _external(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in _entry_points().select(group=self.package)}

    def names(self) -> tuple[str, ...]:
        """Return the keys of all entries, sorted, without importing them."""
        return tuple(sorted({*self._own, *self._external}))

    def load(self, name: str) -> type[Entry]:
        """Return the class of entry `name`.

        Raises
        ------
        UnknownNameError
            There is no entry `name`; the message contains the most similar one.
        """
        if name in self._own:
            return cast("type[Entry]", _public_class(f"{self.package}.{name}"))
        if name in self._external:
            return self._external[name].load()
        raise self._unknown(name)

    def _unknown(self, name: str) -> UnknownNameError:
        return UnknownNameError(
            self.what,
            expected=f"one of {', '.join(self.names())}",
            got=f"'{name}'",
            todo=nearest(name, self.names()),
        )

    def constants(self, name: str) -> dict[str, Any]:
        """Return the literal class attributes of entry `name`, and its docstring as `doc`.

        They are read from the source file: nothing is imported, so that help answers at once.

        Raises
        ------
        UnknownNameError
            There is no such entry.
        """
        return dict(_constants(*self._place(name)))

    def _place(self, name: str) -> tuple[str, str]:
        """Return the module of an entry, and the name of its class there (empty: the public one)."""
        if name in self._own:
            return f"{self.package}.{name}", ""
        if name in self._external:
            return self._external[name].module, self._external[name].attr
        raise self._unknown(name)

    def options(self, name: str) -> dict[str, inspect.Parameter]:
        """Return the options of an entry: the parameters of its constructor."""
        return dict(_parameters(cast("type", self.load(name))))

    def check_options(self, name: str, options: Mapping[str, Any], who: str = "") -> None:
        """Raise UsageError for an option that is not a parameter of the entry's constructor.

        The message contains the most similar parameter.
        """
        known = self.options(name)
        for key in options:
            if key not in known:
                raise UsageError(
                    who or f"{self.what} {name}",
                    expected=f"an option among {first_five(known) or 'none'}",
                    got=f"'{key}'",
                    todo=nearest(key, known),
                )

    def make(self, name: str, **options: Any) -> Entry:
        """Construct entry `name` with `options`.

        Raises
        ------
        UsageError
            An option is unknown, or an option without a default is missing.
        """
        self.check_options(name, options)
        for key, parameter in self.options(name).items():
            named = parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            if named and parameter.default is parameter.empty and key not in options:
                raise UsageError(f"{self.what} {name}", expected=f"the option '{key}'", got="none")
        return self.load(name)(**options)


@cache
def _entry_points() -> Any:
    """Return those of all installed packages, which takes 30 ms: the families share them."""
    from importlib.metadata import entry_points

    return entry_points()


@cache
def _public_class(path: str) -> type:
    """Import a module and return its one public class."""
    module = importlib.import_module(path)
    classes = [
        value
        for key, value in vars(module).items()
        if inspect.isclass(value) and value.__module__ == path and not key.startswith("_")
    ]
    if len(classes) != 1:
        raise TypeError(f"{path} must contain one public class, but contains {len(classes)}")
    return classes[0]


@cache
def _parameters(entry: type) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a constructor; each clone of a combiner asks for them."""
    return inspect.signature(entry).parameters


@cache
def _constants(module: str, attribute: str) -> Mapping[str, Any]:
    """Return what `Family.constants` does; the command line asks for those of a stage several times."""
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise TypeError(f"{module} has no source file")
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    return _literals(next(node for node in tree.body if _is_public_class(node, attribute)))


def _is_public_class(node: ast.stmt, name: str) -> TypeGuard[ast.ClassDef]:
    return isinstance(node, ast.ClassDef) and (node.name == name if name else node.name[0] != "_")


def _literals(node: ast.ClassDef) -> dict[str, Any]:
    """Return the attributes of a class whose values are literals, and its docstring."""
    found: dict[str, Any] = {"doc": ast.get_docstring(node) or ""}
    for statement in node.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            target = statement.targets[0] if isinstance(statement, ast.Assign) else statement.target
            with contextlib.suppress(ValueError):
                found[ast.unparse(target)] = ast.literal_eval(statement.value)
    return found
