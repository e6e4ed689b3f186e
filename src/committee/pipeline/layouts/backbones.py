"""Folders with one folder for each backbone: checkpoints, exported models, K-fold predictions, metrics."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from committee.pipeline.importing.files import EXPORTED, Files, is_table, is_weights
from committee.pipeline.importing.settings import read_settings, settings_near
from committee.pipeline.layouts._choice import choose
from committee.pipeline.layouts.base import REFIT, Found, Layout

PLACES: Mapping[str, tuple[str, ...]] = {
    "ckpt": ("ckpt", "ckpts", "checkpoints"),
    "kfold": ("kfold", "kfolds", "folds"),
    "deploy": ("deploy", "deployed", "exports"),
    "metrics": ("metrics",),
}
"""The four kinds of folders, and their names inside a given folder."""
_ACCURACY = ("accuracy", "acc", "val_accuracy", "val_acc", "test_accuracy", "test_acc", "top1", "acc1")


@dataclass
class _Backbone:
    networks: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    exported: list[Path] = field(default_factory=list)
    predictions: dict[str, list[Path]] = field(default_factory=lambda: defaultdict(list))
    metrics: list[Path] = field(default_factory=list)


class Backbones(Layout):
    """Folders with one folder for each backbone.

    The four folders are named by options, or lie in the given folder: checkpoints (`ckpt/<backbone>/best.pt`,
    `fold_0.pt`), exported models (`deploy/<backbone>/model.onnx`), predictions of held-out rows
    (`kfold/<backbone>/fold_0/oof.csv`), and metrics (`metrics/<backbone>/metrics.json`).

    See Also
    --------
    committee.pipeline.layouts.base.recognize : Ask all layouts.

    Examples
    --------
    >>> from committee.pipeline.layouts.backbones import Backbones
    >>> Backbones.rank
    0
    """

    title = "folders of a backbone"
    rank = 0

    def find(self, files: Files) -> Iterator[Found]:
        models: dict[str, _Backbone] = defaultdict(_Backbone)
        for place, folder in _places(files).items():
            for path in sorted(files.free):
                parts = path.relative_to(folder).parts if path.is_relative_to(folder) else ()
                if len(parts) > 1:
                    _sort_in(models[parts[0]], place, path, files)
                elif parts and place == "metrics":
                    models[path.stem.removesuffix("_metrics")].metrics.append(path)
        for name, model in sorted(models.items()):
            if model.networks or model.predictions or model.exported:
                yield _found(name, model, files)


def _places(files: Files) -> dict[str, Path]:
    """Return the folders that were named, or those of the given folder, if there are two kinds of them."""
    if files.places or files.root is None:
        return files.places
    inside = {
        place: files.root / name
        for place, names in PLACES.items()
        for name in names
        if any(path.is_dir() for path in (files.root / name).glob("*"))
    }
    return inside if len(inside) > 1 else {}


def _sort_in(model: _Backbone, place: str, path: Path, files: Files) -> None:
    """Add a file to those of a backbone."""
    if place == "metrics" or (path.suffix == ".json" and "metric" in path.stem):
        model.metrics.append(path)
    elif path.name.lower().endswith(EXPORTED):
        model.exported.append(path)
    elif is_weights(path):
        fold = files.fold(path)
        key = "exported" if place == "deploy" else REFIT if fold is None else f"fold_{fold}"
        model.networks[key].append(path)
    elif is_table(path) and (place == "kfold" or files.is_predictions(path)):
        model.predictions["oof" if place == "kfold" else files.split(path)].append(path)


def _found(name: str, model: _Backbone, files: Files) -> Found:
    exported = model.networks.pop("exported", [])
    if exported and not model.networks:
        model.networks[REFIT] = exported
    chosen = {key: choose(paths) for key, paths in sorted(model.networks.items())}
    passed = {path: why for _, others in chosen.values() for path, why in others.items()}
    used = {key: best for key, (best, _) in chosen.items()}
    if used:
        passed |= {path: "its checkpoint is used" for path in exported if path not in used.values()}
    passed |= dict.fromkeys(model.exported, "an exported file has no weights to adopt")
    passed |= dict.fromkeys(model.metrics, "a file of metrics")
    known = [*used.values(), *(path for paths in model.predictions.values() for path in paths)]
    first = known[0] if known else model.exported[0]
    return Found(
        name,
        "backbones",
        used,
        {
            split: sorted(paths, key=lambda each: (files.fold(each) or 0, each))
            for split, paths in model.predictions.items()
        },
        settings_near(first, files.top(first)),
        score=next((score for path in model.metrics if (score := _score(path)) is not None), None),
        passed_over=passed,
    )


def _score(path: Path) -> float | None:
    """Return the accuracy in a file of metrics, from 0 to 1."""
    return _accuracy(read_settings(path)) if path.suffix in (".json", ".yaml", ".yml") else None


def _accuracy(content: Any) -> float | None:
    if not isinstance(content, Mapping):
        return None
    for key in _ACCURACY:
        value = content.get(key)
        value = value.get("value") if isinstance(value, Mapping) else value
        if isinstance(value, int | float) and 0 <= value <= 100:
            return value / 100 if value > 1 else float(value)
    inner = (_accuracy(value) for value in content.values())
    return next((value for value in inner if value is not None), None)
