"""The tracker that records runs in Weights & Biases."""

from __future__ import annotations

import os
from typing import Any, Literal

from committee.trackers.base import Results, Row, Run, Tracker, numbers, scores
from committee.trackers.shared.table import leaderboard_csv


class Wandb(Tracker):
    """Weights & Biases: a run for each fit, and one with the recipe, the leaderboard and files, in a group.

    Parameters
    ----------
    project : str
        The project; if empty, the variable WANDB_PROJECT, or the name of the project in the recipe.
    entity : str
        The user or team; by default that of wandb.
    mode : str
        `online`, `offline`, or `auto`: the variable WANDB_MODE, or online if wandb has an API key, and
        offline otherwise. Offline runs are in `tracking/wandb` of the store; `wandb sync`
        uploads them.
    files : bool
        Whether exported files of models are uploaded as well, as an artifact `model`.

    Examples
    --------
    >>> from committee.trackers import Wandb
    >>> Wandb(project="digits", mode="offline").mode
    'offline'
    """

    package = "wandb"
    extra = "wandb"

    def __init__(
        self,
        project: str = "",
        entity: str = "",
        mode: Literal["auto", "online", "offline"] = "auto",
        files: bool = False,
    ) -> None:
        self.project, self.entity, self.mode, self.files = project, entity, mode, files

    def open(self, run: Run) -> None:
        """Begin the run with the recipe."""
        run.folder.mkdir(parents=True, exist_ok=True)
        self.run, self.fits = run, dict[str, Any]()
        config = {**run.facts, "recipe": dict(run.recipe)}
        self.main = self._begun("run", f"{run.name} {run.id}", config=config)

    def begin(self, fit: str, key: str) -> str:
        """Begin the run of a fit, or continue it."""
        resume = {"id": key, "resume": "allow"} if key else {}
        self.fits[fit] = self._begun("fit", fit, **resume)
        return str(self.fits[fit].id)

    def epoch(self, fit: str, row: Row) -> None:
        """Log the numbers of an epoch."""
        self.fits[fit].log(numbers(row), step=row["epoch"])

    def end(self, fit: str, status: str) -> None:
        """End the run of a fit."""
        self.fits[fit].summary["status"] = status
        self.fits.pop(fit).finish(exit_code=int(status != "finished"))

    def close(self, results: Results, status: str) -> None:
        """Log the leaderboard and the files, and end the run."""
        import wandb

        self.main.summary.update({"status": status, **dict(scores(results.rows))})
        files = {**results.files}
        if self.files:
            files |= {f"exported/{name}/{path.name}": path for name, path in results.exported.items()}
        artifact = wandb.Artifact(f"results-{self.main.id}", "results")
        for name, path in files.items():
            artifact.add_file(str(path), name)
        with artifact.new_file("leaderboard.csv", encoding="utf-8") as file:
            file.write(leaderboard_csv(results.rows))
        self.main.log_artifact(artifact)
        for each in (*self.fits.values(), self.main):
            each.finish(exit_code=int(status != "finished"))

    def _begun(self, kind: str, name: str, **more: Any) -> Any:
        import wandb

        return wandb.init(
            project=self.project or os.environ.get("WANDB_PROJECT") or self.run.name,
            entity=self.entity or None,
            dir=self.run.folder,
            mode=self._mode(),
            group=self.run.id,
            job_type=kind,
            name=name,
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off", disable_git=True, save_code=False),
            **more,
        )

    def _mode(self) -> Any:
        """Return the mode; it never asks for a key."""
        import wandb

        known = os.environ.get("WANDB_MODE")
        if self.mode != "auto" or known:
            return self.mode if self.mode != "auto" else known
        return "online" if wandb.login(prompt=False) else "offline"
