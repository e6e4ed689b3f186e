"""Handling of broken images, which are listed in a file and left out; too many of them are an error."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from committee.base.csv_cells import line
from committee.errors import DataError
from committee.store.commit import write_file
from committee.store.layout import Store

log = logging.getLogger(__name__)

FILE = "quarantine.csv"


def check_broken(broken: Mapping[str, str], count: int, max_broken: float, store: Store) -> None:
    """List broken images in the store's `quarantine.csv`, and check that there are not too many.

    Parameters
    ----------
    broken : dict
        Sample id -> reason.
    count : int
        Number of all images.
    max_broken : float
        Largest fraction of broken images. A single one is an error only if this is 0.
    store : Store

    Raises
    ------
    DataError
        There are more broken images.
    """
    path = store.root / FILE
    if not broken:
        path.unlink(missing_ok=True)  # from an earlier attempt
        return
    with store.hold():
        write_rows(path, ("id", "reason"), list(broken.items()))
    if len(broken) > max(max_broken * count, bool(max_broken)):
        raise DataError(
            "broken images",
            expected=f"at most {max_broken:.2%} of {count}",
            got=f"{len(broken)}: {_listed(broken)}",
            todo=f"All are listed in {path.as_posix()}: replace or remove them, or raise dataset.max_broken.",
        )


def report_broken(broken: Mapping[str, str], count: int, store: Store) -> None:
    """Log a warning with the images that are left out of a data set of `count` rows."""
    if broken:
        log.warning(
            "%d of %d images are broken and left out (%s): %s",
            len(broken),
            count + len(broken),
            store.root / FILE,
            _listed(broken),
        )


def _listed(broken: Mapping[str, str]) -> str:
    """Return the first five with their reasons, and the number of further ones."""
    named = [f"{name!r} ({reason})" for name, reason in list(broken.items())[:5]]
    return ", ".join(named) + (f" and {len(broken) - 5} more" if len(broken) > 5 else "")


def write_rows(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a CSV file with a header."""
    write_file(path, "".join(map(line, [header, *rows])).encode())
