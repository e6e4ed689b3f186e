"""Settings of training: the sections `training`, `overrides` and the entries of `models`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from committee.base.names import is_reserved
from committee.base.objectives import AUTO
from committee.base.registry import Family
from committee.recipe.augment import Augment
from committee.recipe.section import Section, check_options, entry_of, one_of, or_text, refuse

PLANS: Family[Any] = Family("committee.training.plans", "plan")
LOSSES: Family[Any] = Family("committee.training.losses", "loss")
LossName = entry_of(LOSSES.package, AUTO)


def _check_plan(value: str) -> str:
    """Return the name of a plan that trains a backbone; refuse those that derive members from stored ones."""
    if value not in PLANS.names():
        return one_of(_backbone_plans(), value)
    section = _section(value)
    if section != "training.plan":
        todo = f"The plan {value} derives a member from trained members: use the section {section}."
        raise refuse(f"one of {', '.join(_backbone_plans())}", todo)
    return value


def _backbone_plans() -> list[str]:
    """Return the names of the plans that train a backbone."""
    return [name for name in PLANS.names() if _section(name) == "training.plan"]


def _section(plan: str) -> str:
    """Return the section of the recipe that asks for a plan, without importing the plan."""
    return str(PLANS.constants(plan).get("section", "training.plan"))


def _list_plans(schema: dict[str, Any]) -> None:
    schema["enum"] = _backbone_plans()


PlanName = Annotated[str, AfterValidator(_check_plan), Field(json_schema_extra=_list_plans)]
GIVEN_TO_PLANS = ("spec", "dataset", "store", "device")
"""Arguments of plans that come from the run, not from the recipe."""


def _check_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", value) or value[-1] == ".":
        raise refuse("at most 100 letters, digits, dots, dashes and underscores, first a letter or digit")
    if is_reserved(value):
        raise refuse(
            "a name that is not reserved by file systems or the store", f"Use '{value.replace('.', '_')}_1'."
        )
    return value


Slug = Annotated[str, AfterValidator(_check_name)]
"""A name that is valid as a folder name on every operating system."""


def _check_folds(value: int) -> int:
    if value == 1:
        raise refuse("0 or at least 2")
    return value


RATES = {"adamw": (1e-3, 3e-4), "sgd": (0.05, 0.01)}
"""Default learning rates of each optimizer, for random and for published initial weights."""


class EarlyStop(Section):
    """Early stopping on a validation slice of the training rows; without folds, on half of the val split."""

    patience: int | None = Field(
        5,
        ge=1,
        description="Number of epochs without improvement after which training stops. Null trains all "
        "epochs; the slice then serves best_checkpoint only.",
    )
    fraction: float = Field(
        0.1,
        gt=0,
        lt=1,
        description="Fraction of the training rows in the validation slice. Without folds, half of the val "
        "split judges epochs instead.",
    )
    metric: Literal["auto", "log_loss", "accuracy", "f1_macro", "mean_iou", "rmse", "mae", "r2"] = Field(
        "auto",
        description="Metric on the validation slice that must improve; auto is log_loss for classes and rmse "
        "for numbers.",
    )


class Plan(Section):
    """A training plan: how members are trained on rows."""

    model_config = ConfigDict(extra="allow")

    name: PlanName = Field("single", description="Name of the plan; further keys are its options.")

    @model_validator(mode="after")
    def _check_options(self) -> Plan:
        check_options(PLANS, str(self.name), self.options, given=GIVEN_TO_PLANS)
        return self

    @property
    def options(self) -> dict[str, Any]:
        """Options of the plan."""
        return dict(self.model_extra or {})


class LossChoice(Section):
    """A loss of training, with its options."""

    model_config = ConfigDict(extra="allow")

    name: LossName = Field(  # type: ignore[valid-type]
        AUTO, description="Name of the loss; further keys are its options."
    )

    @model_validator(mode="after")
    def _check_options(self) -> LossChoice:
        if self.options:
            check_options(LOSSES, one_of(LOSSES.names(), str(self.name)), self.options)
        return self

    @property
    def options(self) -> dict[str, Any]:
        """Options of the loss."""
        return dict(self.model_extra or {})


class Fit(Section):
    """Settings of training that may differ between members."""

    plan: Annotated[Plan, or_text(Plan, "name")] = Field(
        default_factory=Plan,
        description="Training plan: a name such as bagging, or {name: ..., ...options}.",
    )
    epochs: int = Field(
        20, ge=1, description="Number of passes over the training rows, including head_epochs."
    )
    head_epochs: int = Field(
        1,
        ge=0,
        description="Number of first epochs in which only the head of a pretrained network is trained.",
    )
    optimizer: Literal["adamw", "sgd"] = Field(
        "adamw", description="The optimizer: AdamW, or SGD with Nesterov momentum."
    )
    loss: Annotated[LossChoice, or_text(LossChoice, "name")] = Field(
        default_factory=lambda: LossChoice(),
        description="Loss of training: a name such as mae, or {name: huber, delta: 1.0}. Auto is "
        "cross_entropy for classes and mse for numbers.",
    )
    scheduler: Literal["cosine", "constant", "cyclic"] = Field(
        "cosine",
        description="Learning-rate schedule after the warm-up: cosine decay to zero, constant, or cosine "
        "decay with warm restarts (cyclic).",
    )
    cycle_epochs: int = Field(10, ge=1, description="Number of epochs in a cycle of the cyclic schedule.")
    warmup_epochs: float = Field(
        1.0,
        ge=0,
        description="Number of epochs in which the learning rate rises linearly from zero to lr; at most a "
        "fifth of the epochs in which the whole network is trained.",
    )
    lr: float | None = Field(
        None,
        gt=0,
        description="Learning rate after the warm-up. Null depends on the optimizer and the initial weights: "
        "1e-3 for random and 3e-4 for other weights with AdamW, 0.05 and 0.01 with SGD.",
    )
    body_lr: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Learning rate of all layers but the head, as a multiple of lr; 0 freezes them.",
    )
    weight_decay: float = Field(
        0.01, ge=0, description="Weight decay of matrices and kernels; norms and biases have none."
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of SGD; ignored by AdamW.")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Amount of label smoothing.")
    class_weights: Literal["none", "balanced"] | dict[str, Annotated[float, Field(gt=0)]] = Field(
        "none",
        description="Weight of each class in the loss: none, balanced (inversely proportional to class "
        "frequencies), or {class: weight}.",
    )
    sampler: Literal["shuffle", "balanced"] = Field(
        "shuffle",
        description="Order of the rows: `shuffle` uses each row once per epoch, `balanced` draws all classes "
        "equally often.",
    )
    augment: Annotated[Augment, or_text(Augment, "preset")] = Field(
        default_factory=lambda: Augment(), description="Random augmentation of the training images."
    )
    crops_per_image: int | None = Field(
        None,
        ge=1,
        description="Number of random crops of each image in an epoch, for maps; null is as many as cover "
        "the image, at most 64.",
    )
    output_stride: int | None = Field(
        None,
        ge=1,
        description="Factor by which the features are smaller than the image where a backbone is cut, for "
        "maps: an upsampling head follows. Null is 8, or the next one that the backbone has.",
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="Number format of training; auto is bf16 on GPUs that support it, else fp32."
    )
    channels_last: bool | Literal["auto"] = Field(
        "auto",
        description="Whether to use the channels-last memory format; auto uses it where it is faster.",
    )
    ema: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Decay of the exponential moving average of the weights, which then replaces the weights "
        "of the member; null disables it.",
    )
    clip_grad: float | None = Field(
        1.0, gt=0, description="Largest norm of the gradient; null disables clipping."
    )
    early_stop: EarlyStop | None = Field(
        None,
        description="Early stopping on rows that are not trained on; null trains all epochs on all rows.",
    )
    best_checkpoint: bool = Field(
        False,
        description="Keep the weights of the epoch with the best metric on the slice of early_stop, in place "
        "of the last ones.",
    )
    inference: Literal["refit", "folds"] = Field(
        "refit",
        description="Networks that a member is deployed with: `refit` is one network trained on all rows, "
        "`folds` averages the networks of the folds.",
    )
    shared_start: bool = Field(
        True,
        description="Whether all folds of a member start from the same initial weights; false initializes "
        "each fold differently.",
    )
    start_seed: int | None = Field(
        None,
        ge=0,
        le=2**63 - 1,
        description="Seed of the initial weights alone, for members that must start from the same weights; "
        "null uses the member's seed.",
    )
    pretrained: bool | str | None = Field(
        None,
        description="Initial weights: published ones (true), random ones (false), or those of a file (its "
        "path). Null is true for torchvision, timm and hub names, and false for presets and python: "
        "builders.",
    )

    def rate(self, published: bool = False) -> float:
        """Return the learning rate after the warm-up, for random or for published initial weights."""
        return RATES[self.optimizer][published] if self.lr is None else self.lr


class Training(Fit):
    """Settings of training for all members; `overrides` and entries of `models` change them for some."""

    folds: Annotated[int, AfterValidator(_check_folds)] = Field(
        5,
        ge=0,
        description="Number of folds of the cross-validation that all members share; 0 trains each member "
        "once on all rows, without out-of-fold predictions.",
    )

    together: Literal["auto", "stacked", "none"] = Field(
        "auto",
        description="Whether fits whose networks have one architecture (folds, seeds, bags) make their "
        "steps as one: `stacked` does, up to the last bits of the results; `none` does not; auto does where "
        "a short trial is faster and has the same bytes.",
    )


class Override(Fit):
    """Settings that differ for one backbone or member."""

    img_size: int | None = Field(
        None, ge=8, le=2048, description="Side of the input images in pixels; null uses dataset.img_size."
    )
    batch_size: int | None = Field(
        None, ge=1, description="Number of images in a batch; null uses dataset.batch_size."
    )


class Model(Override):
    """A backbone to train, with its own settings."""

    name: str = Field(
        min_length=1,
        description="Backbone: a preset, a name without source, or a name with its source, such as "
        "timm:resnet18, hf-hub:OWNER/NAME or python:package.module:builder.",
    )
    alias: Slug | None = Field(
        None, alias="as", description="Name of the member; null uses the backbone's name."
    )
    seeds: list[Annotated[int, Field(ge=0, le=2**63 - 1)]] | None = Field(
        None,
        min_length=1,
        description="Seeds, each of which adds one member; null adds one member with the recipe's seed.",
    )
