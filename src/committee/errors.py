"""Every error a user can see: one sentence that says who, expected, got, and what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import ClassVar


class CommitteeError(Exception):
    """An error that the user can act on.

    Parameters
    ----------
    who : str
        What refuses: a recipe key, a file, a member, a verb.
    expected : str, optional
        What it needs. Left out, the sentence is `who` and `todo` alone.
    got : str, optional
        What it was given.
    todo : str, optional
        What to do next: a full sentence, or empty.
    where : str, optional
        File and line, put in brackets at the end.
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self, who: str, *, expected: str = "", got: str = "", todo: str = "", where: str = ""
    ) -> None:
        self.who, self.expected, self.got, self.todo, self.where = who, expected, got, todo, where
        super().__init__(sentence(who, expected, got, todo, where))

    def __reduce__(self) -> tuple[object, ...]:
        """Let it come whole out of another process; an exception gives its text alone to the constructor."""
        return _again, (type(self), self.who, self.expected, self.got, self.todo, self.where), vars(self)


def _again(
    kind: type[CommitteeError], who: str, expected: str, got: str, todo: str, where: str
) -> CommitteeError:
    return kind(who, expected=expected, got=got, todo=todo, where=where)


def sentence(who: str, expected: str = "", got: str = "", todo: str = "", where: str = "") -> str:
    """Put the parts of an error together: `who: expected E, got G. Todo (where)`."""
    asked = f"{who}: expected {expected}" if expected else who
    if got:
        asked += f", got {got}" if expected else f": got {got}"
    asked = asked.rstrip(".") + "."
    return " ".join(part for part in (asked, todo, f"({where})" if where else "") if part)


def nearest(name: str, choices: Iterable[str]) -> str:
    """Return `Did you mean 'x'?` for the choice closest to `name`, or an empty string."""
    known = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    return f"Did you mean '{known[close[0]]}'?" if close else ""


def first_five(names: Iterable[object]) -> str:
    """Return the first five names, quoted, and how many more there are."""
    listed = [repr(str(name)) for name in names]
    more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
    return ", ".join(listed[:5]) + more


def printable(name: str) -> str:
    """Return `name` on one line: what a terminal or a UTF-8 file cannot take becomes an escape."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in name)


class UsageError(CommitteeError, ValueError):
    """The command line or a call asks for something that does not exist or does not fit."""

    exit_code = 2


class RecipeError(UsageError):
    """A key or value of a recipe is not valid."""


class UnknownNameError(UsageError, LookupError):
    """A name that is in no registry and no store."""


class DataError(CommitteeError, ValueError):
    """Images, labels or predictions that cannot be used as they are."""


class MismatchError(DataError):
    """Things that do not fit one by one; the sentence is followed by a table of all of them.

    Attributes
    ----------
    rows : sequence of tuple of str
        What, what is expected, and what was there.
    """

    rows: Sequence[tuple[str, str, str]] = ()

    @classmethod
    def of(cls, rows: Sequence[tuple[str, str, str]], who: str, **parts: str) -> MismatchError:
        """Return the error for what does not fit."""
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
    """A fit was asked for on rows that a member has seen."""


class StoreError(CommitteeError, OSError):
    """The store, or a file in it, is damaged, locked, foreign or not writable."""


class ProtocolError(StoreError):
    """A stored file was written by a committee of another store format."""


class DependencyError(CommitteeError, ImportError):
    """An optional package is missing; the sentence has the install line."""


class DeviceError(UsageError, RuntimeError):
    """A device was asked for that this machine lacks."""


class TrainingError(CommitteeError, RuntimeError):
    """A fit could not be finished."""


class ExportError(CommitteeError, RuntimeError):
    """A file could not be made, or does not agree with the module it was made from."""


def require(package: str, extra: str, purpose: str) -> DependencyError:
    """Return the error for an absent optional package, with the line that installs it."""
    return DependencyError(
        purpose,
        expected=f"the package '{package}'",
        got="none installed",
        todo=f"Install it with: pip install 'committee[{extra}]'",
    )
