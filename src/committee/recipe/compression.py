"""Settings of compression: the methods with their options, and what they may cost."""

from __future__ import annotations

import re
import zlib
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from committee.base.registry import Family
from committee.recipe.section import Section, check_constructed, entry_of, or_text, refuse

COMPRESSORS: Family[Any] = Family("committee.compression", "compression method")


LONGEST = 60
"""Characters of the name of a folder; what follows is replaced by a checksum."""


class CompressionMethod(Section):
    """A compression method with its options.

    Examples
    --------
    >>> from committee.recipe.compression import CompressionMethod
    >>> CompressionMethod(method="onnx_static", reduce_range=True).folder
    'onnx_int8_reduce_range_True'
    """

    model_config = ConfigDict(extra="allow")

    method: entry_of(COMPRESSORS.package) = Field(  # type: ignore[valid-type]
        description="Name of the method; further keys are its options."
    )

    @model_validator(mode="after")
    def _check_options(self) -> CompressionMethod:
        check_constructed(COMPRESSORS, str(self.method), self.options)
        return self

    @property
    def options(self) -> dict[str, Any]:
        """Options of the method."""
        return dict(self.model_extra or {})

    @property
    def folder(self) -> str:
        """Name of the folder in a package: that of the method, and the options that are set."""
        parts = [f"{key}_{value}" for key, value in sorted(self.options.items())]
        name = "_".join([COMPRESSORS.load(str(self.method)).folder, *parts])
        name = re.sub(r"[^A-Za-z0-9_.-]+", "_", name)
        return name if len(name) <= LONGEST else f"{name[:LONGEST]}_{zlib.crc32(name.encode()):08x}"

    def make(self) -> Any:
        """Return the method, constructed with the options."""
        return COMPRESSORS.make(str(self.method), **self.options)


AnyMethod = Annotated[CompressionMethod, or_text(CompressionMethod, "method")]


class Compression(Section):
    """Compression: smaller and faster files of trained models, measured on rows that were held out."""

    enable: bool = Field(True, description="Compress models.")
    of: Literal["best"] | Annotated[list[str], Field(min_length=1)] = Field(
        "best",
        description="Models to compress: best is the best ensemble and the best single member by "
        "cross-fitted log-loss, within pruning.cost_budget; a list names members and ensembles.",
    )
    methods: Literal["auto"] | Annotated[list[AnyMethod], Field(min_length=1)] = Field(
        "auto",
        description="Methods, by name or as {method: name, ...options}, each of which is kept within the "
        "tolerance; auto tries all whose packages are installed, and keeps the fastest within it.",
    )
    tolerance: float = Field(
        0.01,
        ge=0,
        le=1,
        description="Largest loss of accuracy against the float32 file, on rows that were held out; of "
        "numbers, largest relative increase of the root mean squared error.",
    )
    min_agreement: float = Field(
        0.97,
        ge=0,
        le=1,
        description="Smallest share of held-out rows for which both files predict the same class, or numbers "
        "that differ by at most the root mean squared error of the float32 file.",
    )
    images: int = Field(
        300, ge=1, description="Training images from the cache on which ranges of activations are measured."
    )
    rows: int = Field(
        2000, ge=2, description="Largest number of rows of a split on which files are measured."
    )

    @model_validator(mode="after")
    def _check_methods_differ(self) -> Compression:
        names = [] if self.methods == "auto" else [each.folder for each in self.methods]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise refuse("methods that differ", f"'{twice}' is there twice.", "methods")
        return self
