"""A tracker: a line for each epoch."""

from __future__ import annotations

from pathlib import Path

from committee.trackers import Tracker


class GuestNotes(Tracker):
    """A text file with a line for each epoch.

    Parameters
    ----------
    file : str
        The file; `notes.txt` in the folder of the tracker if empty.
    """

    def __init__(self, file: str = "") -> None:
        self.file = file

    def open(self, run):
        """Find the file."""
        run.folder.mkdir(parents=True, exist_ok=True)
        self.path = Path(self.file) if self.file else run.folder / "notes.txt"

    def begin(self, fit, key):
        """Do nothing."""
        return ""

    def epoch(self, fit, row):
        """Add a line."""
        self._add(f"{fit} {row['epoch']}")

    def end(self, fit, status):
        """Do nothing."""

    def close(self, results, status):
        """Add the number of models."""
        self._add(f"{status} with {len(results.rows)} models")

    def _add(self, line):
        with self.path.open("a") as file:
            file.write(f"{line}\n")
