"""The base class of trackers, and what they record."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from committee.base.registry import Family
from committee.errors import DependencyError, is_installed, require

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """A run: one call of `committee run`, or of the verb of a stage.

    Attributes
    ----------
    id : str
        Its time, such as `20260131-180000`, which no other run of the store has.
    name : str
        The name of the project.
    folder : Path
        The folder of the tracker in the store, `tracking/<tracker>`; it need not exist.
    facts : mapping
        `seed`, `device`, `data` (the fingerprint), and `versions` of the packages.
    recipe : mapping
        All values of the recipe.
    """

    id: str
    name: str
    folder: Path
    facts: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Results:
    """What a store has at the end of a run.

    Attributes
    ----------
    rows : list of mappings
        The leaderboard, best model first: `name`, `kind`, `cross_fitted.METRIC` and `test.METRIC` with the
        limits of their intervals (`.low`, `.high`), `latency_ms`, `size_mb`.
    files : mapping of str to Path
        Name with `/` -> small file: reports, the catalog, and the records of packages.
    exported : mapping of str to Path
        Model -> its exported file, best model first.
    """

    rows: Sequence[Row] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    exported: Mapping[str, Path] = field(default_factory=dict)


class Tracker(ABC):
    """Records a run: its recipe and versions, each epoch of each fit, the leaderboard and files.

    A new tracker is one file in `committee/trackers/`, or an entry point of the group `committee.trackers`
    of another package. Options are parameters of the constructor, with defaults. All methods are called in
    the process that started the run, one at a time; one that raises ends the tracker, and not the run, whose
    exit code is then 3.

    Attributes
    ----------
    package : str
        The package that the tracker imports, when it begins; empty if it needs none.
    extra : str
        The extra of `committee` that installs it.

    See Also
    --------
    committee.trackers.shared.record.Record : Calls the trackers of a run.

    Examples
    --------
    >>> from pathlib import Path
    >>> from committee.trackers.base import Run, Tracker
    >>> class Printed(Tracker):
    ...     def open(self, run):
    ...         print(run.name)
    ...
    ...     def begin(self, fit, key):
    ...         return ""
    ...
    ...     def epoch(self, fit, row):
    ...         print(fit, row["epoch"], row["train_loss"])
    ...
    ...     def end(self, fit, status):
    ...         print(fit, status)
    ...
    ...     def close(self, results, status):
    ...         print(status)
    >>> tracker = Printed()
    >>> tracker.open(Run("1", "digits", Path("tracking")))
    digits
    >>> tracker.epoch("a/fold_0", {"epoch": 1, "train_loss": 0.5})
    a/fold_0 1 0.5
    """

    package: ClassVar[str] = ""
    extra: ClassVar[str] = ""

    @classmethod
    def require(cls) -> None:
        """Raise DependencyError if the package of the tracker is not installed."""
        missing = why_missing(cls)
        if missing is not None:
            raise missing

    @abstractmethod
    def open(self, run: Run) -> None:
        """Begin to record a run."""

    @abstractmethod
    def begin(self, fit: str, key: str) -> str:
        """Begin to record a fit, `member/fold`, or continue with one.

        Parameters
        ----------
        fit : str
        key : str
            What this method returned when the fit began in an earlier run, which was interrupted; empty for
            a fit that starts.

        Returns
        -------
        str
            A key by which the record of this fit can be continued; empty if it cannot, so that all epochs are
            recorded again.
        """

    @abstractmethod
    def epoch(self, fit: str, row: Row) -> None:
        """Record the numbers of one epoch; `row["epoch"]` is its number."""

    @abstractmethod
    def end(self, fit: str, status: str) -> None:
        """End the record of a fit: `finished`, `failed` or `killed`."""

    @abstractmethod
    def close(self, results: Results, status: str) -> None:
        """Record the results, and end the record of the run: `finished`, `failed` or `killed`."""


TRACKERS: Family[Tracker] = Family("committee.trackers", "tracker")


def why_missing(tracker: type[Tracker]) -> DependencyError | None:
    """Return the error for a tracker whose package is not installed, or None."""
    if not tracker.package or is_installed(tracker.package):
        return None
    return require(tracker.package, tracker.extra, f"tracking with {tracker.package}")


def numbers(row: Row) -> dict[str, float]:
    """Return the numbers of a row, without the number of the epoch."""
    return {
        key: float(value)
        for key, value in row.items()
        if key != "epoch" and isinstance(value, int | float) and not isinstance(value, bool)
    }


def scores(rows: Sequence[Row]) -> Iterator[tuple[str, float]]:
    """Yield the numbers of a leaderboard by name: `model/cross_fitted.accuracy`."""
    for row in rows:
        yield from ((f"{row['name']}/{key}", value) for key, value in numbers(row).items())


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values by dotted keys: `{"a": {"b": 1}}` becomes `{"a.b": 1}`."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        found |= flat(value, f"{name}.") if isinstance(value, Mapping) and value else {name: value}
    return found


def plain_name(name: str) -> str:
    """Return a name of letters, digits and `_-./` alone, which all trackers accept."""
    return re.sub(r"[^\w./-]", "_", name, flags=re.ASCII)
