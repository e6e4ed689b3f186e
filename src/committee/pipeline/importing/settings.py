"""Settings of foreign trainers: architecture, preprocessing and classes, under the names that are in use."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from committee.errors import CommitteeError
from committee.recipe.yaml_text import parse

NAMES = (
    *("cfg", "config", "args", "hparams", "params", "hyperparameters", "settings", "train_config"),
    *("class_mapping", "class_to_idx", "class_indices", "classes", "class_names", "metadata"),
)
"""Names of configuration files, without `.yaml`, `.yml` or `.json`."""
SUFFIXES = (".yaml", ".yml", ".json")
LARGEST = 1_000_000

_BACKBONE = (
    *("model_name", "backbone", "backbone_name", "arch", "architecture", "encoder_name", "encoder"),
    *("timm_model", "model", "network", "net", "model_type"),
)
_SIZE = ("img_size", "image_size", "input_size", "imgsz", "resolution", "val_crop_size", "crop_size", "size")
_MEAN, _STD = ("mean", "img_mean", "image_mean"), ("std", "img_std", "image_std")
_CLASSES = (
    *("classes", "class_names", "class_to_idx", "class_indices", "idx_to_class", "label2id", "id2label"),
    *("label_names", "target_names", "categories", "class_mapping", "labels"),
)
_PARTS = ("model", "backbone", "network", "net", "encoder", "arch")


@dataclass(frozen=True)
class Settings:
    """What is known about a model; None or empty where nothing is.

    Parameters
    ----------
    backbone : str
        The architecture, as the trainer names it.
    size : int, optional
        Side of the input in pixels.
    mean, std : tuple of float, optional
        Mean and standard deviation of the channels, from 0 to 1.
    classes : tuple of str, optional
        Names of the classes, in the order of the outputs.
    """

    backbone: str = ""
    size: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    classes: tuple[str, ...] | None = None

    def over(self, other: Settings) -> Settings:
        """Return these settings, with those of `other` where these say nothing."""
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(other, **{name: value for name, value in own.items() if value})


def settings_in(content: object) -> Settings:
    """Return the settings in a mapping of a configuration, or in the arguments of a script.

    Examples
    --------
    >>> from committee.pipeline.importing.settings import settings_in
    >>> settings_in({"model": {"name": "resnet18"}, "data": {"img_size": [224, 224]}}).size
    224
    """
    entries = list(_entries(content))
    mean, std = (_first(entries, keys, _numbers) for keys in (_MEAN, _STD))
    return Settings(
        _first(entries, _BACKBONE, _backbone) or "",
        _first(entries, _SIZE, _side),
        mean,
        std,
        _first(entries, _CLASSES, _classes),
    )


def settings_near(path: Path, top: Path) -> Settings:
    """Return the settings in configuration files beside a file, and in the folders above it up to `top`."""
    found = Settings()
    folders = [each for each in path.parents if each.is_relative_to(top)]
    for folder in folders:
        for file in _configurations(folder):
            content = read_settings(file)
            if file.stem in _CLASSES:
                content = {"classes": content}
            found = found.over(settings_in(content))
    return found


def _configurations(folder: Path) -> list[Path]:
    """Return the configuration files of a folder, those with the better-known names first."""
    paths = [folder / f"{name}{suffix}" for name in NAMES for suffix in SUFFIXES]
    paths += [folder / ".hydra" / "config.yaml", folder / "classes.txt", folder / "class_names.txt"]
    return [path for path in paths if path.is_file()]


def read_settings(path: Path) -> Any:
    """Return the content of a YAML, JSON or text file; None if it cannot be read.

    Tags of Python objects, which Lightning writes, are left out; nothing is constructed.
    """
    try:
        if path.stat().st_size > LARGEST:
            return None
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix == ".json":
            return json.loads(text)
        if path.suffix == ".txt":
            return [line.strip() for line in text.splitlines() if line.strip()]
        return parse(re.sub(r"!!python/\S+", "", text), str(path)).value
    except (OSError, ValueError, RecursionError, CommitteeError):
        return None


def _entries(content: object, above: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield the key of each value in nested mappings, with the key above it, outer ones first."""
    if not isinstance(content, Mapping):
        content = getattr(content, "__dict__", {})
    items = [(str(key).lower(), value) for key, value in content.items()]
    yield from ((key, above, value) for key, value in items)
    for key, value in items:
        if isinstance(value, Mapping) or hasattr(value, "__dict__"):
            yield from _entries(value, key)


def _first(entries: Sequence[tuple[str, str, Any]], keys: Sequence[str], read: Any) -> Any:
    """Return the first value that can be read under one of the keys, in the order of the keys."""
    for wanted in keys:
        for key, above, value in entries:
            named = key == wanted or (key == "name" and above == wanted and wanted in _PARTS)
            if named and (found := read(value)) is not None:
                return found
    return None


def _backbone(value: object) -> str | None:
    return value if isinstance(value, str) and re.fullmatch(r"[\w.:/-]{2,100}", value) else None


def _side(value: object) -> int | None:
    if isinstance(value, Sequence) and not isinstance(value, str) and value:
        value = value[-1]
    return value if isinstance(value, int) and 1 < value <= 4096 else None


def _numbers(value: object) -> tuple[float, ...] | None:
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) not in (1, 3):
        return None
    if not all(isinstance(each, int | float) for each in value):
        return None
    return tuple(each / 255 for each in value) if max(value) > 1 else tuple(map(float, value))


def _classes(value: object) -> tuple[str, ...] | None:
    """Return class names from a list, `{name: index}` or `{index: name}`."""
    if isinstance(value, Mapping) and value:
        if all(isinstance(each, int) for each in value.values()):
            value = {str(index): name for name, index in value.items()}
        if sorted(map(str, value)) != sorted(map(str, range(len(value)))):
            return None
        value = [value[key] for key in sorted(value, key=int)]
    named = isinstance(value, Sequence) and not isinstance(value, str) and len(value) > 1
    if not named or not all(isinstance(each, str | int) for each in value):  # type: ignore[attr-defined]
        return None
    return tuple(map(str, value))  # type: ignore[call-overload]
