"""Records of the epochs of a fit: a CSV file, and a line of the log."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from committee.tasks.base import Task

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
