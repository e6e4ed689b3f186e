"""Settings of distillation: the section `distillation`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from committee.base.registry import Family
from committee.recipe.section import Section, check_options, entry_of, or_text

LOSSES: Family[Any] = Family("committee.training.distillation_losses", "distillation loss")
Loss = entry_of(LOSSES.package)
Engine = entry_of("committee.engines")
OF_SECTION = ("temperature",)
"""Options of losses that are keys of the section."""


class LossChoice(Section):
    """A loss between the outputs of student and teacher, with its options."""

    model_config = ConfigDict(extra="allow")

    name: Loss = Field("kd", description="Name of the loss; further keys are its options.")  # type: ignore[valid-type]

    @model_validator(mode="after")
    def _check_options(self) -> LossChoice:
        check_options(LOSSES, str(self.name), self.options, given=OF_SECTION)
        return self

    @property
    def options(self) -> dict[str, Any]:
        """Options of the loss."""
        return dict(self.model_extra or {})


class Distillation(Section):
    """Knowledge distillation: one network is trained to predict like an ensemble (Hinton et al. 2015)."""

    enable: bool = Field(True, description="Train the student.")
    teacher: str = Field("soft_voting", description="Ensemble or member whose predictions are the targets.")
    student: str = Field(
        "CustomMobileOne",
        min_length=1,
        description="Backbone of the student; `overrides` may set its image size and other settings of "
        "training.",
    )
    temperature: float = Field(
        4.0,
        gt=0,
        description="Temperature of the probabilities of teacher and student in losses of classes.",
    )
    alpha: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Weight of the teacher's predictions in the loss; the rest is the labels'.",
    )
    epochs: int = Field(50, ge=1, description="Number of epochs.")
    lr: float = Field(1e-3, gt=0, description="Learning rate.")
    batch_size: int = Field(32, ge=1, description="Number of images in a batch.")
    loss: Annotated[LossChoice, or_text(LossChoice, "name")] = Field(
        default_factory=lambda: LossChoice(),
        description="Loss between the outputs of student and teacher: a name, or {name: ..., ...options}; by "
        "default kd for classes, and mse_values for numbers.",
    )
    cached: int | None = Field(
        None,
        ge=1,
        description="Number of augmented views of each image for which the teacher's outputs are computed "
        "once and used in turn. Null runs the teacher in each step, on the crops that the student sees.",
    )
    mixup: float = Field(
        0.0,
        ge=0,
        description="Parameter of the beta distribution of the shares in which two images are mixed, for "
        "teacher and student alike; 0 mixes none.",
    )
    unlabeled: str | None = Field(
        None,
        description="Folder of images without labels, or its address, on which the student learns from the "
        "teacher alone.",
    )
    engine: Engine = Field(  # type: ignore[valid-type]
        "eager",
        description="Engine that runs a teacher whose networks read images of the same size, in float32; it "
        "is compared with the teacher on the first batch of each fit. eager runs the teacher as it is.",
    )
    teacher_rows: Literal["refit", "out_of_fold"] = Field(
        "refit",
        description="Networks that teach the refit of the student: those that are deployed, or for each "
        "image those of its fold, which were not trained on it.",
    )
    seeds: int = Field(
        3,
        ge=0,
        description="Number of students with different seeds, with and without a teacher, that are trained "
        "on all rows to measure what the teacher adds; 0 omits the comparison.",
    )

    def loss_options(self) -> dict[str, Any]:
        """Return all options of the loss, those that are keys of the section included."""
        known = LOSSES.options(str(self.loss.name))
        return {**{key: getattr(self, key) for key in OF_SECTION if key in known}, **self.loss.options}
