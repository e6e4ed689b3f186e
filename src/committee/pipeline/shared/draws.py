"""Bootstrap draws of the gains of a stored model, with which the gains of a leaderboard are corrected."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from committee.errors import StoreError
from committee.scoring.draws import Draws
from committee.scoring.family import simultaneous
from committee.scoring.gains import Gain
from committee.untrusted.npy import load_npy

DRAWS = "gain_draws.npy"


def write_draws(folder: Path, draws: Draws) -> None:
    """Write draws into a new folder of the store: float32 `[2, K, R]`, of the metrics and of the gains."""
    np.save(folder / DRAWS, np.stack([draws.scores, draws.gains]))


def read_draws(folder: Path, metrics: Iterable[str], todo: str) -> Draws:
    """Return the draws in a folder, for metrics in the order in which the gains beside them are.

    Raises
    ------
    StoreError
        The file is missing or damaged, or belongs to other metrics. `todo` is the advice in the message.
    """
    names, file = tuple(metrics), folder / DRAWS
    if not file.is_file():
        raise StoreError(str(file), expected="draws of the gains", got="no file", todo=todo)
    array = load_npy(file)
    if array.ndim != 3 or array.shape[:2] != (2, len(names)) or array.dtype != np.float32:
        raise StoreError(
            str(file),
            expected=f"draws [2, {len(names)}, R]",
            got=f"{array.dtype} {list(array.shape)}",
            todo=todo,
        )
    return Draws(names, *array)


def as_family(found: Mapping[str, tuple[Mapping[str, Any], Draws]]) -> dict[str, dict[str, Any]]:
    """Return the gains of models by metric, as JSON values, with limits that hold for all models together.

    Parameters
    ----------
    found : mapping of str to (mapping, Draws)
        The gains of each model by metric, as JSON values, and their draws.
    """
    result: dict[str, dict[str, Any]] = {name: {} for name in found}
    for metric in dict.fromkeys(metric for gains, _ in found.values() for metric in gains):
        models = {name: (gains[metric], draws) for name, (gains, draws) in found.items() if metric in gains}
        family = {name: _gain(gain) for name, (gain, _) in models.items()}
        draws = {name: each.gains[each.metrics.index(metric)] for name, (_, each) in models.items()}
        for name, gain in simultaneous(family, draws).items():
            result[name][metric] = gain.to_json()
    return result


def _gain(values: Mapping[str, Any]) -> Gain:
    return Gain(**{each.name: values[each.name] for each in fields(Gain)})
