"""Images that cannot be used: named, listed in a file, left out; too many of them stop the run."""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from committee.errors import DataError
from committee.store.commit import write_file
from committee.store.layout import Store

log = logging.getLogger(__name__)

FILE = "quarantine.csv"


def check_broken(broken: Mapping[str, str], count: int, max_broken: float, store: Store) -> None:
    """List images that are left out in the store's `quarantine.csv`, and see that they are few.

    Parameters
    ----------
    broken : dict
        Sample id -> reason.
    count : int
        How many images were read.
    max_broken : float
        Largest share of them that may be broken. One image alone stops a run only where it is 0.
    store : Store

    Raises
    ------
    DataError
        More are broken than may be.
    """
    path = store.root / FILE
    if not broken:
        path.unlink(missing_ok=True)  # of an earlier try
        return
    with store.hold():
        write_rows(path, ("id", "reason"), list(broken.items()))
    if len(broken) > max(max_broken * count, bool(max_broken)):
        raise DataError(
            f"{len(broken)} of {count} images",
            expected=f"at most {max_broken:.2%} broken ones",
            got=_listed(broken),
            todo=f"All are listed in {path.as_posix()}: replace or remove them, or raise dataset.max_broken.",
        )


def report_broken(broken: Mapping[str, str], count: int, store: Store) -> None:
    """Say in the log which images of a data set of `count` rows are left out, if any are."""
    if broken:
        log.warning(
            "%d of %d images are broken and left out (%s): %s",
            len(broken),
            count + len(broken),
            store.root / FILE,
            _listed(broken),
        )


def _listed(broken: Mapping[str, str]) -> str:
    """Return the first five with their reasons, and how many more there are."""
    named = [f"{name!r} ({reason})" for name, reason in list(broken.items())[:5]]
    return ", ".join(named) + (f" and {len(broken) - 5} more" if len(broken) > 5 else "")


def write_rows(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a CSV file for people to look through."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([header, *rows])
    write_file(path, text.getvalue().encode())
