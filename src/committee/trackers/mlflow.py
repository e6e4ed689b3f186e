"""The tracker that records runs in MLflow, and registers models there."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from committee.errors import UsageError
from committee.trackers.base import Results, Row, Run, Tracker, flat, numbers, plain_name, scores
from committee.trackers.shared.pyfunc import save_pyfunc
from committee.trackers.shared.table import leaderboard_csv

STATUS = {"finished": "FINISHED", "failed": "FAILED", "killed": "KILLED"}
LONGEST = 500
"""Largest number of characters of a parameter that all versions of MLflow accept."""


class Mlflow(Tracker):
    """MLflow: a run with the recipe, the leaderboard and files, and below it a run for each fit.

    A fit that is resumed continues its run. Runs end as FINISHED, FAILED or KILLED.

    Parameters
    ----------
    uri : str
        Address of the tracking server or database. If empty, the variable MLFLOW_TRACKING_URI, and without
        it a SQLite database in `tracking/mlflow` of the store.
    experiment : str
        Name of the experiment; if empty, the variable MLFLOW_EXPERIMENT_NAME, or the name of the project.
    register : str
        Name under which the best exported model is registered, as a model of the flavor `python_function`;
        empty registers none.

    Examples
    --------
    >>> from committee.trackers import Mlflow
    >>> tracker = Mlflow(experiment="digits", register="digits")
    >>> tracker.experiment, tracker.uri
    ('digits', '')
    """

    package = "mlflow"
    extra = "mlflow"

    def __init__(self, uri: str = "", experiment: str = "", register: str = "") -> None:
        self.uri, self.experiment, self.register = uri, experiment, register

    def open(self, run: Run) -> None:
        """Create the experiment if need be, and the run."""
        import mlflow

        uri = self.uri or os.environ.get("MLFLOW_TRACKING_URI", "")
        own = "" if uri else run.folder.absolute().as_posix()
        if own:
            run.folder.mkdir(parents=True, exist_ok=True)
        self.client = mlflow.MlflowClient(uri or f"sqlite:///{own}/mlflow.db")
        title = self.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or run.name
        found = self.client.get_experiment_by_name(title)
        place = (run.folder.absolute() / "artifacts").as_uri() if own else None
        self.number = found.experiment_id if found else self.client.create_experiment(title, place)
        self.runs: dict[str, str] = {}
        self.main = self._created(f"{run.name} {run.id}", {})
        for key, value in flat(dict(run.facts)).items():
            self.client.log_param(self.main, key, str(value)[:LONGEST])
        self.client.log_dict(self.main, dict(run.recipe), "recipe.json")

    def begin(self, fit: str, key: str) -> str:
        """Create the run of a fit, or continue it."""
        if key:
            self.client.update_run(key, status="RUNNING")
        self.runs[fit] = key or self._created(fit, {"mlflow.parentRunId": self.main})
        return self.runs[fit]

    def epoch(self, fit: str, row: Row) -> None:
        """Log the numbers of an epoch, in one request."""
        self._log(self.runs[fit], numbers(row), row["epoch"])

    def end(self, fit: str, status: str) -> None:
        """End the run of a fit."""
        self.client.set_terminated(self.runs.pop(fit), STATUS[status])

    def close(self, results: Results, status: str) -> None:
        """Log the leaderboard and the files, register the best exported model, and end the run."""
        try:
            self._log(self.main, {plain_name(name): value for name, value in scores(results.rows)}, 0)
            if results.rows:
                self.client.log_text(self.main, leaderboard_csv(results.rows), "leaderboard.csv")
            for name, path in results.files.items():
                folder = name.rpartition("/")[0]
                self.client.log_artifact(self.main, str(path), folder or None)
            if self.register and status == "finished":
                self._register(results)
        finally:
            for each in (*self.runs.values(), self.main):
                self.client.set_terminated(each, STATUS[status])

    def _created(self, name: str, tags: dict[str, str]) -> str:
        return str(self.client.create_run(self.number, run_name=name, tags=tags).info.run_id)

    def _log(self, run: str, values: dict[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value in values.items()]
        for start in range(0, len(metrics), 1000):  # the largest batch
            self.client.log_batch(run, metrics[start : start + 1000])

    def _register(self, results: Results) -> None:
        """Log the best exported model as `model`, and make a version of the registered model of it."""
        if not results.exported:
            raise UsageError(
                "tracking.register",
                expected="an exported model",
                got="none",
                todo="Add a format that is one file, such as onnx, to exports.formats.",
            )
        name, file = next(iter(results.exported.items()))
        with tempfile.TemporaryDirectory() as temporary:
            folder = save_pyfunc(file, Path(temporary) / "model")
            self.client.log_artifacts(self.main, str(folder), "model")
        if not any(each.name == self.register for each in self.client.search_registered_models()):
            self.client.create_registered_model(self.register)
        source = f"{self.client.get_run(self.main).info.artifact_uri}/model"
        self.client.create_model_version(self.register, source, self.main, tags={"model": name})
