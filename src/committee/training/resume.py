"""The state of a fit between two epochs, kept so that an interrupted run goes on with the same bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from committee.store import tensors
from committee.store.commit import commit
from committee.store.manifest import is_done, read_manifest
from committee.training.journal import CSV_NAME, Row, write_csv


def keep(folder: Path, made_from: str, state: Mapping[str, Any], history: Sequence[Row], run_id: str) -> None:
    """Replace the kept state of a fit.

    Parameters
    ----------
    folder : Path
        `Store.resume(member, fold)`.
    made_from : str
        Digest of all that decides the fit's result.
    state : dict
        Tensors and plain values, nested.
    history : sequence of dict
        A row for each finished epoch; also written as CSV, to be looked at meanwhile.
    run_id : str
        Of the MLflow run, or empty.
    """
    with commit(folder, kind="resume", made_from=made_from, epoch=len(history), run_id=run_id) as new:
        tensors.save({**state, "history": [dict(row) for row in history]}, new)
        write_csv(new / CSV_NAME, history)


def restore(folder: Path, made_from: str) -> tuple[dict[str, Any], str] | None:
    """Return the kept state and the MLflow run; None if there is none, or a damaged one, or another fit's."""
    if not is_done(folder, made_from):
        return None
    return tensors.load(folder), str(read_manifest(folder, verify=False).facts.get("run_id", ""))
