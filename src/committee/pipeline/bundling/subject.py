"""What the parts of a bundle are made from: one exported ONNX file, and what the store knows about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from committee.pipeline.model_card.described import Described

Content = Mapping[str, bytes | Path]
"""The files of a bundle: path in the bundle, with `/` -> its bytes, or the file to copy."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Subject(Described):
    """The model of a bundle.

    Parameters
    ----------
    file : Path
        The exported ONNX file. Weights beyond 2 GiB are in a second file beside it, FILE.data.

    See Also
    --------
    committee.pipeline.bundle.bundle : Makes the bundle.
    """

    file: Path

    @property
    def place(self) -> str:
        """Path of the model in the bundle. There is one copy, which the script, the page and Triton share."""
        return f"triton/{self.name}/1/model.onnx"

    @property
    def weights(self) -> Path | None:
        """The second file of a model of more than 2 GiB."""
        beside = self.file.with_name(f"{self.file.name}.data")
        return beside if beside.is_file() else None
