"""How members are trained: the keys of `training`, of `overrides` and of one entry of `models`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_type_hints

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from committee.base.registry import Family
from committee.errors import nearest
from committee.recipe.section import Section, entry_of, or_text, refuse

PLANS: Family[Any] = Family("committee.training.plans", "plan")
PlanName = entry_of(PLANS.package)
GIVEN_TO_PLANS = ("spec", "dataset", "store", "device")
"""What a plan's constructor takes from the run, not from the recipe."""

_RESERVED = {
    "ensembles",
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{n}" for port in ("com", "lpt") for n in range(10)),
}


def _check_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", value) or value[-1] == ".":
        raise refuse("letters, digits, dots, dashes and underscores, 100 at most, a letter or digit first")
    if value.lower() in _RESERVED:
        raise refuse("a name that no file system and no store keeps for itself", f"Take '{value}_1'.")
    return value


Slug = Annotated[str, AfterValidator(_check_name)]
"""A name that may be a folder on every system."""


def _check_folds(value: int) -> int:
    if value == 1:
        raise refuse("0, or 2 and more")
    return value


class Augment(Section):
    """How training images are varied; each sample draws its own variation in each epoch."""

    flip: bool = Field(True, description="Mirror left and right, every second time.")
    color_jitter: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Largest relative change of brightness, contrast and saturation; 0 is off.",
    )
    random_resized_crop: float = Field(
        0.5, gt=0, le=1, description="Smallest share of the image's area that a random crop keeps; 1 is off."
    )
    randaugment: int = Field(
        0, ge=0, le=10, description="Magnitude of RandAugment's two operations (Cubuk et al. 2020); 0 is off."
    )


class EarlyStop(Section):
    """When to stop before the last epoch, judged on an inner slice of the training rows."""

    patience: int | None = Field(
        5,
        ge=1,
        description="Stop after so many epochs without a better value; null never stops, which "
        "leaves the slice to best_checkpoint.",
    )
    fraction: float = Field(0.1, gt=0, lt=1, description="Share of the training rows in the inner slice.")
    metric: Literal["log_loss", "accuracy", "f1_macro"] = Field(
        "log_loss", description="What must get better on the inner slice."
    )


class Plan(Section):
    """How rows become a member."""

    model_config = ConfigDict(extra="allow")

    name: PlanName = Field(  # type: ignore[valid-type]
        "single", description="The plan; further keys are its options."
    )

    @model_validator(mode="after")
    def _options_are_the_plans(self) -> Plan:
        if self.options:
            _check_options(str(self.name), self.options)
        return self

    @property
    def options(self) -> dict[str, Any]:
        """The plan's own options."""
        return dict(self.model_extra or {})


def _check_options(plan: str, options: dict[str, Any]) -> None:
    """Refuse an option that the plan's constructor does not take, or of another type."""
    hints = get_type_hints(PLANS.load(plan).__init__)
    known = sorted(name for name in PLANS.options(plan) if name not in GIVEN_TO_PLANS)
    for key, value in options.items():
        if key not in known:
            raise refuse(f"an option of {plan} ({', '.join(known) or 'none'})", nearest(key, known), key)
        try:
            TypeAdapter(hints[key]).validate_python(value, strict=True)
        except ValidationError as error:
            raise refuse(str(error.errors()[0]["msg"]).lower(), "", key) from None


class Fit(Section):
    """One fit: what may differ between members."""

    plan: Annotated[Plan, or_text(Plan, "name")] = Field(
        default_factory=Plan,
        description="How a member is trained: single, bagging, boosting, snapshot or averaging; a name, or "
        "{name: ..., ...options}.",
    )
    epochs: int = Field(
        20, ge=1, description="Passes over the training rows, those of the head alone included."
    )
    head_epochs: int = Field(
        1, ge=0, description="First epochs in which only the head of a pretrained network learns."
    )
    optimizer: Literal["adamw", "sgd"] = Field("adamw", description="AdamW, or SGD with Nesterov momentum.")
    loss: Literal["cross_entropy"] = Field("cross_entropy", description="The training loss.")
    scheduler: Literal["cosine", "constant", "cyclic"] = Field(
        "cosine",
        description="How the learning rate goes on after the warm-up: down to zero as a cosine, or level, or "
        "down and up again in cycles (warm restarts).",
    )
    cycle_epochs: int = Field(10, ge=1, description="Epochs of a cycle of the cyclic scheduler.")
    warmup_epochs: float = Field(
        1.0,
        ge=0,
        description="Epochs in which the learning rate rises from zero to lr; a fifth of the "
        "epochs that train all of the network, at most.",
    )
    lr: float = Field(3e-4, gt=0, description="Learning rate after the warm-up.")
    body_lr: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Learning rate of all but the head, as a share of lr; 0 trains the "
        "head alone, on a frozen body.",
    )
    weight_decay: float = Field(
        0.01, ge=0, description="Weight decay of matrices and kernels; norms and biases have none."
    )
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of SGD; AdamW has its own.")
    label_smoothing: float = Field(
        0.0, ge=0, lt=1, description="Share of the label spread evenly over all classes."
    )
    class_weights: Literal["none", "balanced"] | dict[str, Annotated[float, Field(gt=0)]] = Field(
        "none", description="Weight of each class in the loss: none, balanced, or {class: weight}."
    )
    sampler: Literal["shuffle", "balanced"] = Field(
        "shuffle",
        description="Order of rows: each once in random order, or drawn so that classes come equally often.",
    )
    augment: Augment = Field(default_factory=Augment, description="How training images are varied.")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="Number format in training: auto is bf16 where a GPU has it, else fp32."
    )
    channels_last: bool | Literal["auto"] = Field(
        "auto", description="Memory format of images: auto takes channels-last where it helps."
    )
    ema: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="Decay of the moving average of weights that becomes the member; null is off.",
    )
    clip_grad: float | None = Field(
        1.0, gt=0, description="Largest norm of the gradient; null does not clip."
    )
    early_stop: EarlyStop | None = Field(
        None,
        description="Stop when an inner slice of the training rows gets no better; null trains all epochs.",
    )
    best_checkpoint: bool = Field(
        False,
        description="Keep the weights of the best epoch on early_stop's slice, not those of the last.",
    )
    inference: Literal["refit", "folds"] = Field(
        "refit",
        description="Which networks speak for a backbone: one trained on all rows, or the mean of its folds.",
    )
    shared_start: bool = Field(
        True, description="All folds of a member start from the same weights; false draws others for each."
    )
    start_seed: int | None = Field(
        None,
        ge=0,
        le=2**63 - 1,
        description="Seed of the starting weights alone, for members that shall share a start; null is the "
        "member's seed.",
    )
    pretrained: bool | str | None = Field(
        None,
        description="Start from published weights (true), at random (false) or from a file (its path); "
        "null is true for torchvision, timm and hub names, false for presets and python: builders.",
    )


class Training(Fit):
    """How all members are trained; `overrides` and entries of `models` may say otherwise for some."""

    folds: Annotated[int, AfterValidator(_check_folds)] = Field(
        5,
        ge=0,
        description="Folds of the cross-fit that all members share; 0 trains on all rows once "
        "and has no out-of-fold predictions.",
    )


class Override(Fit):
    """What is different for one backbone or member."""

    img_size: int | None = Field(
        None, ge=8, le=2048, description="Side of the images it sees; null takes dataset.img_size."
    )
    batch_size: int | None = Field(
        None, ge=1, description="Images in a batch; null takes dataset.batch_size."
    )


class Model(Override):
    """One backbone to train, with what is its own."""

    name: str = Field(
        min_length=1,
        description="Backbone: timm:NAME, torchvision:NAME, hf-hub:..., a preset or a bare name.",
    )
    alias: Slug | None = Field(None, alias="as", description="Name of the member; null takes the backbone's.")
    seeds: list[Annotated[int, Field(ge=0, le=2**63 - 1)]] | None = Field(
        None, min_length=1, description="One member for each seed; null is one member with the recipe's seed."
    )
