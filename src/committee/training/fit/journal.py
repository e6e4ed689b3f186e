"""Records of the epochs of a fit: a CSV file, a line of the log, and MLflow where it is configured."""

from __future__ import annotations

import contextlib
import csv
import importlib.util
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from committee.tasks.base import Task

log = logging.getLogger(__name__)

CSV_NAME = "epochs.csv"
TEXTS = {"log_loss": "loss {:.3f}", "accuracy": "accuracy {:.2f}"}
Row = Mapping[str, Any]


def columns(task: Task, score: str) -> tuple[str, ...]:
    """Return the columns of the table of epochs; `score` is that of the training loss."""
    inner = (f"inner_{metric}" for metric in task.judged)
    first = ("epoch", "phase", "lr", "train_loss", f"train_{score}", "seconds")
    return (*first, *inner, "rollbacks", "micro_batch")


def write_csv(path: Path, history: Sequence[Row], fields: Sequence[str]) -> None:
    """Write one line for each epoch; the inner columns are empty where no validation slice judges epochs.

    `rollbacks` is how often the learning rate had been halved by then, `micro_batch` the largest number of
    images that passed through the network at once.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fields, restval="")
        writer.writeheader()
        writer.writerows(history)


def epoch_seconds(folder: Path) -> float | None:
    """Return the seconds of all epochs of a stored fit, from the CSV file of each of its networks.

    It is None if the folder has no such file, as that of a network that was trained elsewhere.
    """
    files = sorted(folder.glob(f"*{CSV_NAME}"))
    return sum(map(_seconds, files)) if files else None


def _seconds(file: Path) -> float:
    with file.open(newline="", encoding="utf-8") as lines:
        return sum(float(row["seconds"] or 0) for row in csv.DictReader(lines))


def describe_epoch(row: Row, epochs: int) -> str:
    """Return the results of an epoch for the log.

    Examples
    --------
    >>> row = {"epoch": 3, "train_loss": 0.4118, "train_accuracy": 0.9093, "seconds": 2.1}
    >>> describe_epoch(row, epochs=8)
    'epoch 3/8, loss 0.412, accuracy 0.91, 2.1 s'
    """
    scores, inner = (_texts(row, part) for part in ("train_", "inner_"))
    text = f"epoch {row['epoch']}/{epochs}, {', '.join(scores)}"
    if inner:
        text += f", validation slice: {', '.join(inner[:2])}"
    return f"{text}, {row['seconds']:.1f} s"


def _texts(row: Row, part: str) -> list[str]:
    """Return the scores of a part of a row in words."""
    found = {key.removeprefix(part): value for key, value in row.items() if key.startswith(part)}
    texts = {"loss": TEXTS["log_loss"], **TEXTS}
    return [texts.get(name, f"{name} {{:.4g}}").format(value) for name, value in found.items()]


class MlflowRun:
    """The MLflow run of a fit; it ends with the `with` block.

    Nothing is tracked unless MLFLOW_TRACKING_URI is set and MLflow is installed.

    Parameters
    ----------
    name : str
        Name of the run: `member/fold`.
    run_id : str
        Run that an interrupted fit began, or empty.

    Attributes
    ----------
    run_id : str
        The run, or empty.
    """

    def __init__(self, name: str, run_id: str = "") -> None:
        self.run_id = run_id
        self._client: Any = None
        if not os.environ.get("MLFLOW_TRACKING_URI"):
            return
        if importlib.util.find_spec("mlflow") is None:
            log.warning(
                "MLFLOW_TRACKING_URI is set, but MLflow is not installed: pip install 'committee[mlflow]'"
            )
            return
        with self._optional():
            self._start(name)

    def _start(self, name: str) -> None:
        import mlflow

        self._client = mlflow.MlflowClient()
        if self.run_id:
            self._client.update_run(self.run_id, status="RUNNING")
        else:
            title = os.environ.get("MLFLOW_EXPERIMENT_NAME", "committee")
            found = self._client.get_experiment_by_name(title)
            experiment = found.experiment_id if found else self._client.create_experiment(title)
            self.run_id = self._client.create_run(experiment, run_name=name).info.run_id

    @contextlib.contextmanager
    def _optional(self) -> Iterator[None]:
        """Continue without MLflow when it fails: the training is worth more than its log."""
        try:
            yield
        except Exception as error:
            self._client = None
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            log.warning("MLflow failed and records no more of this fit; its CSV file continues: %s", reason)

    def log(self, row: Row) -> None:
        """Log the numbers of one epoch."""
        if self._client is not None:
            with self._optional():
                for key, value in row.items():
                    if key != "epoch" and isinstance(value, int | float):
                        self._client.log_metric(self.run_id, key, value, step=row["epoch"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        """Mark the run as finished, failed or killed."""
        killed = kind is not None and issubclass(kind, KeyboardInterrupt)
        if self._client is not None:
            with self._optional():
                status = "FINISHED" if kind is None else "KILLED" if killed else "FAILED"
                self._client.set_terminated(self.run_id, status)
