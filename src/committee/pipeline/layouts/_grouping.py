"""Grouping of files of predictions by model and split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from committee.pipeline.importing.files import Files


def grouped(
    files: Files, paths: Iterable[Path], names: Iterable[str] = ()
) -> dict[str, dict[str, list[Path]]]:
    """Return the files of predictions of each model and split, in the order of their folds.

    Parameters
    ----------
    files : Files
    paths : iterable of Path
    names : iterable of str
        Names of models with networks, which the names of their predictions contain.
    """
    names = list(names)
    found: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(paths, key=lambda each: (files.fold(each) or 0, each)):
        model = files.model(path, names)
        found[model][files.split(path, model)].append(path)
    return {model: dict(splits) for model, splits in found.items()}
