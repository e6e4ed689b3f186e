"""The tracker that writes CSV files."""

from __future__ import annotations

import json
from pathlib import Path

from committee.base.csv_cells import line
from committee.store.hashes import hash_file
from committee.trackers.base import Results, Row, Run, Tracker, numbers
from committee.trackers.shared.table import leaderboard_csv


class Csv(Tracker):
    """Files: a folder for each run, with its recipe, epochs, leaderboard, and the checksums of its results.

    `run.json` has the recipe, versions and how the run ended; `epochs.csv` a line for each number (time of
    the run, fit, epoch, metric, value); `leaderboard.csv` a line for each model; `artifacts.csv` the path,
    size and SHA-256 of each file. Text that a spreadsheet would run as a formula is escaped.

    Parameters
    ----------
    folder : str
        The folder that gets a folder for each run; `tracking/csv` of the store if empty.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from committee.trackers import Csv
    >>> from committee.trackers.base import Results, Run
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tracker = Csv()
    ...     tracker.open(Run("20260131-180000", "digits", Path(folder)))
    ...     tracker.begin("resnet/fold_0", "")
    ...     tracker.epoch("resnet/fold_0", {"epoch": 1, "train_loss": 0.5})
    ...     tracker.end("resnet/fold_0", "finished")
    ...     tracker.close(Results(), "finished")
    ...     sorted(path.name for path in Path(folder).rglob("*.csv"))
    ''
    ['artifacts.csv', 'epochs.csv']
    """

    def __init__(self, folder: str = "") -> None:
        self.folder = folder

    def open(self, run: Run) -> None:
        """Make the folder of the run."""
        self.run, self.place = run, (Path(self.folder) if self.folder else run.folder) / run.id
        self.place.mkdir(parents=True)
        self._write_run("running")
        self._add(["fit", "epoch", "metric", "value"])

    def begin(self, fit: str, key: str) -> str:
        """Do nothing: each run has a table of its own."""
        return ""

    def epoch(self, fit: str, row: Row) -> None:
        """Add a line for each number."""
        for name, value in numbers(row).items():
            self._add([fit, row["epoch"], name, value])

    def end(self, fit: str, status: str) -> None:
        """Add a line with how the fit ended."""
        self._add([fit, "", "status", status])

    def close(self, results: Results, status: str) -> None:
        """Write the leaderboard and the checksums."""
        if results.rows:
            self._write("leaderboard.csv", leaderboard_csv(results.rows))
        files = {**results.files, **{f"exported/{name}": path for name, path in results.exported.items()}}
        lines = [
            line([name, path.as_posix(), path.stat().st_size, hash_file(path)])
            for name, path in files.items()
        ]
        self._write("artifacts.csv", "".join([line(["name", "path", "bytes", "sha256"]), *lines]))
        self._write_run(status)

    def _add(self, cells: list[object]) -> None:
        with (self.place / "epochs.csv").open("a", encoding="utf-8", newline="") as file:
            file.write(line(cells))

    def _write_run(self, status: str) -> None:
        facts = {"name": self.run.name, "status": status, **self.run.facts, "recipe": self.run.recipe}
        self._write("run.json", json.dumps(facts, ensure_ascii=False, indent=1))

    def _write(self, name: str, text: str) -> None:
        (self.place / name).write_text(text, encoding="utf-8", newline="")
