"""Settings of the comparison of models: the section `compare`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from committee.recipe.exports import Format
from committee.recipe.section import Section


class Comparison(Section):
    """Comparison of models as exported files, under one clock."""

    enable: bool = Field(True, description="Compare the models at the end of a run.")
    models: list[str] | None = Field(
        None, min_length=1, description="Models to compare; null compares the best of each kind."
    )
    format: Literal["all"] | Format | None = Field(
        None,
        description="Export format that is compared; null is `onnx`, or `checkpoint`, which torch runs, "
        "where onnxruntime is not installed; all is every file of the packages, each in its own runtime.",
    )
    max_latency_ms: float | None = Field(
        None,
        gt=0,
        description="Largest median latency for one image in milliseconds; null is that of "
        "pruning.cost_budget.",
    )
    max_size_mb: float | None = Field(
        None,
        gt=0,
        description="Largest size of the file in megabytes; null is that of pruning.cost_budget.",
    )
    min_accuracy: float | None = Field(
        None, ge=0, le=1, description="Smallest cross-fitted accuracy; null is no limit."
    )
    plot: str | None = Field(
        None, description="PNG file of a plot of accuracy and latency; null writes none."
    )
