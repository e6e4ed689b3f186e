"""Lazy re-exports: a package offers the public names of its files, and imports a file when a name is used."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any

_DECLARED = re.compile(r"^    from (\S+) import (\w+) as \2$", re.MULTILINE)
_PUBLIC_CLASS = re.compile(r"^class ([A-Z]\w*)", re.MULTILINE)


def reexport(package: str, *, family: bool = False) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and the `__dir__` of a package whose names load on first use.

    The names come from source text, so that nothing is imported to list them: the lines
    `from module import name as name` below `if TYPE_CHECKING:` in the `__init__.py` of the package, and, in a
    family, the public class of each entry file. `__all__` holds the same names.

    Parameters
    ----------
    package : str
        Import path of the package, its `__name__`.
    family : bool, default=False
        Whether each file of the folder is an entry of a family (see `committee.base.registry`).

    Examples
    --------
    An `__init__.py` holds a docstring, the declared names and one call:

    >>> __getattr__, __dir__ = reexport("committee.combiners", family=True)
    >>> "Weighted" in __dir__()
    True
    >>> __getattr__("Weighted")
    <class 'committee.combiners.weighted.Weighted'>
    """

    @cache
    def modules() -> dict[str, str]:
        found = {name: module for module, name in _DECLARED.findall(_source(package))}
        for entry in entries(package) if family else ():
            module = f"{package}.{entry}"
            found |= dict.fromkeys(_PUBLIC_CLASS.findall(_source(module)), module)
        return found

    def names() -> list[str]:
        return sorted(modules())

    def load(name: str) -> Any:
        if name == "__all__":
            return names()
        if name.startswith("_") or name not in modules():
            raise AttributeError(f"module '{package}' has no attribute '{name}'")
        return getattr(importlib.import_module(modules()[name]), name)

    return load, names


def entries(package: str) -> tuple[str, ...]:
    """Return the names of the entry files of a family, sorted, without importing them.

    `base.py`, files whose names start with an underscore, and folders are not entries.
    """
    path = importlib.import_module(package).__path__
    names = (module.name for module in pkgutil.iter_modules(path) if not module.ispkg)
    return tuple(sorted(name for name in names if name != "base" and not name.startswith("_")))


def _source(module: str) -> str:
    loader: Any = getattr(find_spec(module), "loader", None)
    return loader.get_source(module) or ""
