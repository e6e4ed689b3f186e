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
    """Say which images are left out, and list all of them in the store's `quarantine.csv`.

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
    if not broken:
        return
    path = store.root / FILE
    with store.hold():
        write_rows(path, ("id", "reason"), list(broken.items()))
    listed = ", ".join(f"{name!r} ({reason})" for name, reason in list(broken.items())[:5])
    listed += f" and {len(broken) - 5} more" if len(broken) > 5 else ""
    if len(broken) > max(max_broken * count, bool(max_broken)):
        raise DataError(
            f"{len(broken)} of {count} images", expected=f"at most {max_broken:.2%} broken ones",
            got=listed, todo=f"All are listed in {path.as_posix()}: replace or remove them, or raise "
            "dataset.max_broken.",
        )  # fmt: skip
    log.warning("%d of %d images are broken and left out (%s): %s", len(broken), count, path, listed)


def write_rows(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a CSV file for people to look through."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([header, *rows])
    write_file(path, text.getvalue().encode())
