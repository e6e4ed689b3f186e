"""What the parts of a bundle are made from: one exported ONNX file, and what the store knows about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from committee.pipeline.bundling.words import WORDS, Words
from committee.predictions.target_types import CLASSES, TargetType

Content = Mapping[str, bytes | Path]
"""The files of a bundle: path in the bundle, with `/` -> its bytes, or the file to copy."""


@dataclass(frozen=True, eq=False)
class Subject:
    """The model of a bundle.

    Parameters
    ----------
    name : str
        Full name of the member or ensemble: letters, digits and `. _ + @ = -`.
    file : Path
        The exported ONNX file. Weights beyond 2 GiB are in a second file beside it, FILE.data.
    class_names : tuple of str, length C
        Names of the classes or targets.
    channels : int
        3 for RGB, 1 for luma.
    provenance : mapping
        The facts that were exported with the model.
    report : mapping
        Its `metrics.json`; empty if it was not evaluated.
    parity : mapping
        `max_abs_diff` of the file, the largest difference of a probability from the model on real images.
    dataset : str
        Name of the data set that it was trained and evaluated on.
    license : str
        Identifier of the license of the weights, as the Hugging Face hub writes it.
    target_type : TargetType
        What the model predicts.
    units : tuple of str
        Unit of each target; none if they are not known.

    See Also
    --------
    committee.pipeline.bundle.bundle : Makes the bundle.
    """

    name: str
    file: Path
    class_names: tuple[str, ...]
    channels: int
    provenance: Mapping[str, Any] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)
    parity: Mapping[str, Any] = field(default_factory=dict)
    dataset: str = "unknown"
    license: str = "unknown"
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

    @property
    def difference(self) -> float:
        """Largest difference from the model that was evaluated: of a probability, or of relative numbers."""
        return float(self.parity.get("max_abs_diff", 0.0))

    @property
    def place(self) -> str:
        """Path of the model in the bundle. There is one copy, which the script, the page and Triton share."""
        return f"triton/{self.name}/1/model.onnx"

    @property
    def weights(self) -> Path | None:
        """The second file of a model of more than 2 GiB."""
        beside = self.file.with_name(f"{self.file.name}.data")
        return beside if beside.is_file() else None
