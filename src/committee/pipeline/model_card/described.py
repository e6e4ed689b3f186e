"""What a model card is written from: the facts of one model, and of the data that it was trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from committee.images.record import Record
from committee.pipeline.model_card.words import WORDS, Words
from committee.predictions.target_types import CLASSES, TargetType
from committee.recipe.model_card import ModelCard


@dataclass(frozen=True)
class Data:
    """The data set that a model was trained and evaluated on.

    Parameters
    ----------
    name : str
    fingerprint : str
        Digest of images, ids, labels and splits; empty if it is not known.
    rows : mapping of str to int
        Number of images of each split.
    left_out : int
        Number of images that could not be decoded.
    """

    name: str = "unknown"
    fingerprint: str = ""
    rows: Mapping[str, int] = field(default_factory=dict)
    left_out: int = 0

    @classmethod
    def of(cls, record: Record | None) -> Data:
        """Return the facts in the record of a store; without a record, those of an unknown data set."""
        if record is None:
            return cls()
        rows = Counter(record.splits)
        return cls(
            Path(record.name).name, record.fingerprint, dict(sorted(rows.items())), len(record.quarantined)
        )


@dataclass(frozen=True, eq=False)
class Described:
    """The model of a card.

    Parameters
    ----------
    name : str
        Full name of the member or ensemble: letters, digits and `. _ + @ = -`.
    class_names : tuple of str, length C
        Names of the classes or targets.
    channels : int
        3 for RGB, 1 for luma.
    provenance : mapping
        The facts that were exported with the model.
    report : mapping
        Its `metrics.json`; empty if it was not evaluated.
    difference : float
        Largest difference from the model that was evaluated: of a probability, or of relative numbers.
    data : Data
    about : ModelCard
        License, intended use and other texts of the recipe.
    target_type : TargetType
        What the model predicts.
    units : tuple of str
        Unit of each target; none if they are not known.

    See Also
    --------
    committee.pipeline.model_card.text.card_text : Writes the card.
    """

    name: str
    class_names: tuple[str, ...]
    channels: int
    provenance: Mapping[str, Any] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)
    difference: float = 0.0
    data: Data = Data()
    about: ModelCard = field(default_factory=ModelCard)
    target_type: TargetType = CLASSES
    units: tuple[str, ...] = ()

    @property
    def words(self) -> Words:
        """The texts that depend on what the model predicts."""
        return WORDS[self.target_type.name]

    @property
    def shape(self) -> str:
        """The shape of the output after the batch."""
        return self.words.shape.format(count=len(self.class_names))

    @property
    def named(self) -> list[str]:
        """The classes, or the targets with their units."""
        units = self.units or [""] * len(self.class_names)
        pairs = zip(self.class_names, units, strict=True)
        return [f"{name} ({unit})" if unit else name for name, unit in pairs]
