"""The whole recipe: what to train on what, how to combine it, and what to hand over."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from committee.recipe.dataset import Dataset
from committee.recipe.members import MemberSpec, expand
from committee.recipe.runs import Combiner, PruningMethod, Runs
from committee.recipe.section import Section, entry_of, or_text
from committee.recipe.training import Model, Override, Training
from committee.recipe.unbuilt import unbuilt

FORMATS = ("torchscript", "tflite", "openvino", "executorch", "tensorrt")
"""Formats that a recipe may name before there is an exporter of that name: the export stage reports them."""

Format = entry_of("committee.exporters", *FORMATS)
AnyModel = Annotated[Model, or_text(Model, "name")]


class Project(Section):
    """What the results are called."""

    name: str = Field("committee", description="Name written into packages.")
    version: str = Field("1.0", description="Version written into packages.")


class Backbones(Section):
    """Which backbones take part."""

    include: list[str] = Field([], description="Backbones to train, or members of a trained store to use.")
    exclude: list[str] = Field([], description="Backbones and members to leave out.")


class Exports(Section):
    """What is packaged."""

    enable: bool = Field(True, description="Package every member and ensemble.")
    formats: list[Format] = Field(  # type: ignore[valid-type]
        ["state_dict", "checkpoint", "onnx"], description="Formats to write."
    )


class CostBudget(Section):
    """What the pruned ensemble may cost."""

    max_latency_ms: float | None = Field(None, gt=0, description="Milliseconds for one image.")
    max_size_mb: float | None = Field(None, gt=0, description="Megabytes of weights.")


class Pruning(Section):
    """Which members are worth keeping: each method makes the ensemble pruned_<method>."""

    enable: bool = Field(True, description="Prune.")
    methods: list[PruningMethod] = Field(["greedy_forward"], min_length=1, description="How to choose.")
    metric: Literal["log_loss", "accuracy", "f1_macro"] = Field(
        "log_loss", description="What the members that are kept make best."
    )
    inner: Combiner = Field("soft_voting", description="The combiner of the members that are kept.")
    measure: Literal["disagreement", "double_fault", "q_statistic", "correlation", "kl"] = Field(
        "disagreement", description="Diversity that diversity_max makes largest."
    )
    floor: float = Field(
        0.95, ge=0, le=1, description="Least accuracy in diversity_max, as a share of the best member's."
    )
    target_size: int | None = Field(
        None, ge=1, description="Members to keep; null keeps as many as score best."
    )
    cost_budget: CostBudget = Field(default_factory=CostBudget, description="What the result may cost.")


class Distillation(Section):
    """One network that learns from an ensemble (Hinton et al. 2015)."""

    enable: bool = Field(True, description="Distil.")
    teacher: str = Field("soft_voting", description="Ensemble to learn from.")
    student: str = Field("CustomMobileOne", description="Backbone that learns.")
    temperature: float = Field(4.0, gt=0, description="Softening of the teacher's probabilities.")
    alpha: float = Field(0.5, ge=0, le=1, description="Weight of the teacher against the labels.")
    epochs: int = Field(50, ge=1, description="Epochs.")
    lr: float = Field(1e-3, gt=0, description="Learning rate.")
    batch_size: int = Field(32, ge=1, description="Images in a batch.")


class Recipe(Section):
    """Everything a run needs to know; an empty recipe is complete but for its images and backbones."""

    project: Project = Field(default_factory=Project, description="What the results are called.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="Where networks run; auto is the best there is."
    )
    workers: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        "auto",
        description="Fits, and packages, at once: each in a process with its share of threads; auto "
        "is one for each thread of a CPU, 8 at most, and one fit on a GPU.",
    )
    seed: int = Field(0, ge=0, le=2**63 - 1, description="The one seed that all randomness comes from.")
    dataset: Dataset = Field(default_factory=Dataset, description="The images.")
    training: Training = Field(default_factory=Training, description="How members are trained.")
    backbones: Backbones = Field(default_factory=Backbones, description="Which backbones take part.")
    models: list[AnyModel] = Field(
        [], description="Backbones with settings of their own: names, or {name: ..., as: ..., lr: ..., ...}."
    )
    overrides: dict[str, Override] = Field(
        {}, description="Settings that differ, by backbone or member name."
    )
    runs: Runs = Field(default_factory=Runs, description="Which combinations to build.")
    exports: Exports = Field(default_factory=Exports, description="What is packaged.")
    pruning: Pruning | None = Field(None, description="Which members are worth keeping.")
    distillation: Distillation | None = Field(None, description="One network that learns from an ensemble.")

    def members(self) -> list[MemberSpec]:
        """Return what to train: one entry a backbone and seed, with its settings resolved.

        Raises
        ------
        RecipeError
            Two members would have the same name.
        """
        return expand(self)

    def unbuilt(self) -> list[str]:
        """Return what the recipe asks for and this version does not build, by key."""
        return unbuilt(self)
