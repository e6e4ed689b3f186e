"""Exceptions that users see: what is wrong, what was expected, what was found, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import ClassVar, TypeVar


class CommitteeError(Exception):
    """Base class of all errors that a user can correct.

    Parameters
    ----------
    who : str
        The object that the error is about: a recipe key, a file, a member or a verb. With `expected` and
        `got` omitted, the full description of the problem.
    expected : str, optional
        The valid values.
    got : str, optional
        The value that was found.
    todo : str, optional
        What to do next, as a full sentence.
    where : str, optional
        File and line of the value, appended in parentheses.

    Attributes
    ----------
    exit_code : int
        Exit code of the command line when this error ends it.

    See Also
    --------
    sentence : Format these parts.

    Examples
    --------
    >>> from committee.errors import CommitteeError
    >>> print(CommitteeError("folds", expected="at most 4", got="5", todo="Use fewer folds."))
    folds: expected at most 4, got 5. Use fewer folds.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self, who: str, *, expected: str = "", got: str = "", todo: str = "", where: str = ""
    ) -> None:
        self.who, self.expected, self.got, self.todo, self.where = who, expected, got, todo, where
        super().__init__(sentence(who, expected, got, todo, where))

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle all parts of the message, so that the error can be sent between processes."""
        return _rebuild, (type(self), self.who, self.expected, self.got, self.todo, self.where), vars(self)


def _rebuild(
    kind: type[CommitteeError], who: str, expected: str, got: str, todo: str, where: str
) -> CommitteeError:
    return kind(who, expected=expected, got=got, todo=todo, where=where)


def sentence(who: str, expected: str = "", got: str = "", todo: str = "", where: str = "") -> str:
    """Format the parts of an error message as `who: expected E, got G. Todo (where)`."""
    problem = f"{who}: expected {expected}" if expected else who
    if got:
        problem += f", got {got}" if expected else f": got {got}"
    problem = problem.rstrip(".") + "."
    return " ".join(part for part in (problem, todo, f"({where})" if where else "") if part)


def nearest(name: str, choices: Iterable[str]) -> str:
    """Return `Did you mean 'x'?` for the choice most similar to `name`, or an empty string.

    Examples
    --------
    >>> from committee.errors import nearest
    >>> nearest("epoch", ["epochs", "folds"])
    "Did you mean 'epochs'?"
    """
    known = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    return f"Did you mean '{known[close[0]]}'?" if close else ""


def first_five(names: Iterable[object]) -> str:
    """Return the first five names, quoted, and the number of further ones."""
    listed = [repr(str(name)) for name in names]
    more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
    return ", ".join(listed[:5]) + more


def printable(name: str) -> str:
    """Return `name` with every character that is not printable escaped, so that it fits on one line."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in name)


class UsageError(CommitteeError, ValueError):
    """An argument of the command line or of a function is not valid."""

    exit_code = 2


class RecipeError(UsageError):
    """A key or value of a recipe is not valid."""


class UnknownNameError(UsageError, LookupError):
    """A name is neither registered nor stored."""


class DataError(CommitteeError, ValueError):
    """Images, labels or predictions cannot be used in their present form."""


class MismatchError(DataError):
    """Several items do not match; the message is followed by a table of all mismatches.

    Attributes
    ----------
    rows : sequence of tuple of str
        Name, expected value and actual value of each item.

    See Also
    --------
    DataError : The base class, without a table.

    Examples
    --------
    >>> from committee.errors import MismatchError
    >>> print(MismatchError.of([("fc.weight", "[10, 512]", "[2, 512]")], "weights.pt", got="1 mismatch"))
    weights.pt: got 1 mismatch.
                 expected   got
      fc.weight  [10, 512]  [2, 512]
    """

    rows: Sequence[tuple[str, str, str]] = ()

    @classmethod
    def of(cls, rows: Sequence[tuple[str, str, str]], who: str, **parts: str) -> MismatchError:
        """Return the error for the mismatches in `rows`; `parts` are arguments of `CommitteeError`."""
        error = cls(who, **parts)
        error.rows = rows
        return error

    def __str__(self) -> str:
        lines = [("", "expected", "got"), *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(3)]
        table = [
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]
        return "\n".join([super().__str__(), *(f"  {line}" for line in table)])


class LeakError(DataError):
    """A combiner would be fitted on rows that a member was trained on."""


class StoreError(CommitteeError, OSError):
    """The store, or a file in it, is damaged, locked, not writable or belongs to other data."""


class ProtocolError(StoreError):
    """A stored file was written in another version of the store format."""


class StorageError(CommitteeError, OSError):
    """An object storage cannot be listed, read or written."""


class DependencyError(CommitteeError, ImportError):
    """An optional package is not installed; the message contains the install command."""


class DeviceError(UsageError, RuntimeError):
    """The requested device is not available on this machine."""


class TrainingError(CommitteeError, RuntimeError):
    """A fit could not be completed."""


class TimeLimitError(CommitteeError, TimeoutError):
    """A model did not answer within its time limit."""


class UnfinishedError(TimeLimitError):
    """The time limit of a run left no time for a fit or a stage; the next run continues it."""


class ExportError(CommitteeError, RuntimeError):
    """A file could not be exported, or its outputs differ from those of the exported module."""


ErrorType = TypeVar("ErrorType", bound=CommitteeError)


def missing(kind: type[ErrorType], path: object, todo: str = "", what: str = "file") -> ErrorType:
    """Return the error for a path that does not exist.

    Parameters
    ----------
    kind : type of CommitteeError
    path : str or Path
    todo : str, optional
        What to do next, as a full sentence.
    what : str
        "file", "folder" or another word for the path.

    Examples
    --------
    >>> from committee.errors import UsageError, missing
    >>> print(missing(UsageError, "x.csv", "Give another path."))
    x.csv: the file does not exist. Give another path.
    """
    return kind(f"{printable(str(path))}: the {what} does not exist", todo=todo)


def unreadable(
    kind: type[ErrorType], path: object, error: OSError, todo: str = "", what: str = "file"
) -> ErrorType:
    """Return the error for a path that cannot be read, with the system's reason.

    Parameters are those of `missing`; `error` is the exception that reading raised.
    """
    if isinstance(error, FileNotFoundError):
        return missing(kind, path, todo, what)
    return kind(f"{printable(str(path))}: the {what} cannot be read ({system_reason(error)})", todo=todo)


def system_reason(error: OSError) -> str:
    """Return why the system refused an operation, such as `permission denied`."""
    text = error.strerror or str(error)
    return text[:1].lower() + text[1:]


def is_installed(package: str) -> bool:
    """Return whether a package can be imported, also where an import hook or `sys.modules` forbids it.

    Examples
    --------
    >>> from committee.errors import is_installed
    >>> is_installed("numpy"), is_installed("no_such_package")
    (True, False)
    """
    from importlib.util import find_spec

    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def require(package: str, extra: str, purpose: str) -> DependencyError:
    """Return the error for an optional package that is not installed, with the install command."""
    return DependencyError(
        purpose,
        expected=f"the package '{package}'",
        got="none installed",
        todo=f"Install it with: pip install 'committee[{extra}]'",
    )
