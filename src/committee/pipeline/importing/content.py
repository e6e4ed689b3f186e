"""What a checkpoint contains beside its weights: settings of its trainer, and averaged weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from committee.backbones.weights import read_content
from committee.errors import CommitteeError
from committee.pipeline.foreign import EMA
from committee.pipeline.importing.settings import Settings, settings_in

_SETTINGS = ("args", "hyper_parameters", "hparams", "config", "cfg", "opt")


@dataclass(frozen=True)
class Content:
    """What is known from a checkpoint.

    Parameters
    ----------
    settings : Settings
        The architecture, the preprocessing and the classes that it names.
    has_average : bool
        Whether it contains a moving average of the weights.
    problem : str
        Why it cannot be read; empty if it can.
    """

    settings: Settings = field(default_factory=Settings)
    has_average: bool = False
    problem: str = ""


def content_of(path: Path | None) -> Content:
    """Return what a checkpoint contains beside its weights, which are not read; of None, nothing."""
    if path is None:
        return Content()
    try:
        content = read_content(path)
    except CommitteeError as error:
        return Content(problem=str(error))
    if not isinstance(content, Mapping):
        return Content()
    found = settings_in({key: value for key, value in content.items() if isinstance(value, str)})
    for key in _SETTINGS:
        found = found.over(settings_in(content.get(key)))
    return Content(found, any(key in content for key in EMA))
