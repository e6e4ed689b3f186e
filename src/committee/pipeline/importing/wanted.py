"""What a user says about the models to import, and what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from committee.pipeline.foreign import UNKNOWN, Adopted
from committee.pipeline.importing.settings import Settings
from committee.pipeline.shared.class_names import read_classes


@dataclass(frozen=True)
class Wanted:
    """What the user says about the models of a folder; None or empty leaves it to their files.

    Parameters
    ----------
    backbones : mapping of str to str
        Name of a model -> its architecture; the name `` (empty) is for all others.
    classes : Path, optional
        A file of the names of classes or targets in the order of the outputs.
    size, mean, std, seen, fresh, ema, shift, scale
        As in `committee.pipeline.foreign.Foreign`.

    See Also
    --------
    committee.pipeline.importing.models.import_models : Use it.
    """

    backbones: Mapping[str, str] = field(default_factory=dict)
    classes: Path | None = None
    size: int | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    seen: str = UNKNOWN
    fresh: str | None = None
    ema: bool = False
    shift: Sequence[float] = ()
    scale: Sequence[float] = ()

    @property
    def settings(self) -> Settings:
        """The settings that take precedence over those of files."""
        mean, std = (None if each is None else tuple(each) for each in (self.mean, self.std))
        classes = None if self.classes is None else tuple(read_classes(self.classes))
        return Settings("", self.size, mean, std, classes)


@dataclass
class Imported:
    """What became of one model.

    Attributes
    ----------
    name : str
        Name of the member, or of the stored predictions.
    layout : str
        What was recognized, in words.
    networks, predictions : tuple of str
        The networks (`refit`, `fold_0`, ...), and the splits with predictions.
    backbone : str
        The architecture; empty for predictions alone.
    state : str
        `adopted`, `adopted already`, `would be adopted`, `stored`, `would be stored` or `left out`.
    notes : list of str
        Why the model is left out, or what the user should know.
    adopted : Adopted or None
        The adoption of the networks.

    See Also
    --------
    committee.pipeline.importing.models.import_models : Return these.
    """

    name: str
    layout: str
    networks: tuple[str, ...]
    predictions: tuple[str, ...]
    backbone: str = ""
    state: str = "left out"
    notes: list[str] = field(default_factory=list)
    adopted: Adopted | None = None
