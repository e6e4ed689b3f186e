"""Texts of the model card that only the user knows: the section `model_card`."""

from __future__ import annotations

from pydantic import Field

from committee.recipe.section import Section


class ModelCard(Section):
    """What the model cards of packages and bundles say of the use of a model."""

    license: str = Field(
        "unknown",
        min_length=1,
        description="License of the weights, as the Hugging Face hub writes it, such as apache-2.0.",
    )
    intended_use: str | None = Field(
        None, description="What the model is for, as Markdown; null leaves a placeholder."
    )
    out_of_scope: str | None = Field(
        None, description="Where the model must not be used, as Markdown; null leaves a placeholder."
    )
    limitations: str | None = Field(
        None, description="Known errors, biases and risks, as Markdown; null leaves a placeholder."
    )
    contact: str | None = Field(None, description="Whom to ask about the model; null states nobody.")
    citation: str | None = Field(
        None, description="How to cite the model, such as BibTeX; null states nothing."
    )
    tags: list[str] = Field([], description="Further tags of the metadata.")
