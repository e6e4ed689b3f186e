"""Grouping of files of predictions by model and split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from committee.pipeline.importing.files import Files


def grouped(files: Files, paths: Iterable[Path]) -> dict[str, dict[str, list[Path]]]:
    """Return the files of predictions of each model and split, in the order of their folds."""
    found: dict[str, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(paths, key=lambda each: (files.fold(each) or 0, each)):
        found[files.model(path)][files.split(path)].append(path)
    return {model: dict(splits) for model, splits in found.items()}
