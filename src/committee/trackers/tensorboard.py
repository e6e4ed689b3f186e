"""The tracker that writes event files of TensorBoard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from committee.trackers.base import Results, Row, Run, Tracker, numbers, scores
from committee.trackers.shared.table import leaderboard_csv


class Tensorboard(Tracker):
    """TensorBoard: event files, with a folder for each fit, and one for the run.

    Show them with `tensorboard --logdir FOLDER`. A fit that is resumed continues its curves.

    Parameters
    ----------
    folder : str
        The folder of event files; `tracking/tensorboard` of the store if empty.

    Examples
    --------
    >>> from committee.trackers import Tensorboard
    >>> Tensorboard("runs").folder
    'runs'
    """

    package = "tensorboard"
    extra = "tensorboard"

    def __init__(self, folder: str = "") -> None:
        self.folder = folder

    def open(self, run: Run) -> None:
        """Write the recipe and the versions as texts."""
        self.place = (Path(self.folder) if self.folder else run.folder) / run.id
        self.writers: dict[str, Any] = {}
        for name, facts in (("recipe", run.recipe), ("run", run.facts)):
            text = json.dumps(facts, ensure_ascii=False, indent=1)
            self._writer("run").add_text(name, f"```json\n{text}\n```")

    def begin(self, fit: str, key: str) -> str:
        """Open the event file of a fit, in the folder where it began."""
        folder = Path(key) if key else self.place / fit
        self.writers[fit] = self._made(folder)
        return str(folder)

    def epoch(self, fit: str, row: Row) -> None:
        """Add a point to each curve."""
        for name, value in numbers(row).items():
            self.writers[fit].add_scalar(name, value, row["epoch"])
        self.writers[fit].flush()

    def end(self, fit: str, status: str) -> None:
        """Close the event file of a fit."""
        self.writers[fit].add_text("status", status)
        self.writers.pop(fit).close()

    def close(self, results: Results, status: str) -> None:
        """Write the leaderboard, as text and as numbers, and the small files as texts."""
        writer = self._writer("run")
        for name, value in scores(results.rows):
            writer.add_scalar(name, value)
        if results.rows:
            writer.add_text("leaderboard", f"```csv\n{leaderboard_csv(results.rows)}```")
        for name, path in results.files.items():
            writer.add_text(name, f"```\n{path.read_text(encoding='utf-8', errors='replace')}\n```")
        writer.add_text("status", status)
        for each in self.writers.values():
            each.close()

    def _writer(self, name: str) -> Any:
        if name not in self.writers:
            self.writers[name] = self._made(self.place / name)
        return self.writers[name]

    def _made(self, folder: Path) -> Any:
        from torch.utils.tensorboard.writer import SummaryWriter

        return SummaryWriter(str(folder))
