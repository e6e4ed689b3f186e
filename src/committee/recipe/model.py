"""The recipe: all sections, and the members that they describe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from committee.executors.base import Executor
from committee.recipe.channel_pruning import ChannelPruning
from committee.recipe.comparison import Comparison
from committee.recipe.compression import Compression
from committee.recipe.dataset import Dataset
from committee.recipe.distillation import Distillation
from committee.recipe.durations import Duration
from committee.recipe.executor import AUTO, AnyExecutor, ExecutorChoice
from committee.recipe.exports import Exports
from committee.recipe.members import MemberSpec, check_unique, expand, matches, select
from committee.recipe.model_card import ModelCard
from committee.recipe.objective import Objective
from committee.recipe.report import Report
from committee.recipe.runs import Combiner, PruningMethod, Runs
from committee.recipe.section import Section, or_text
from committee.recipe.tracking import Trackings
from committee.recipe.training import Model, Override, Training
from committee.recipe.tta import Tta

AnyModel = Annotated[Model, or_text(Model, "name")]


class Project(Section):
    """Name and version of the project."""

    name: str = Field("committee", description="Name written to the metadata of exported packages.")
    version: str = Field("1.0", description="Version written to the metadata of exported packages.")


class Backbones(Section):
    """Backbones to train or to combine."""

    include: list[str] = Field([], description="Backbones to train, or trained members to combine.")
    exclude: list[str] = Field([], description="Backbones and members to leave out.")
    trusted: list[Annotated[str, Field(pattern="^python:")]] = Field(
        [],
        description="`python:` backbones of stored members that may be imported, beside those to train: "
        "importing a module runs it.",
    )


class CostBudget(Section):
    """Largest cost of a pruned ensemble."""

    max_latency_ms: float | None = Field(
        None, gt=0, description="Largest latency for one image in milliseconds; null is no limit."
    )
    max_size_mb: float | None = Field(
        None, gt=0, description="Largest size of the weights in megabytes; null is no limit."
    )


class Pruning(Section):
    """Pruning: each method selects members for an ensemble named pruned_<method>."""

    enable: bool = Field(True, description="Build these ensembles.")
    methods: list[PruningMethod] = Field(
        ["greedy_forward"], min_length=1, description="Methods that select members."
    )
    metric: Objective = Field(
        "log_loss",
        description="Metric that the selection optimizes; `python:module.function` is a function of labels "
        "and probabilities.",
    )
    inner: Combiner = Field("soft_voting", description="Combiner of the selected members.")
    measure: Literal["disagreement", "double_fault", "q_statistic", "correlation", "kl"] = Field(
        "disagreement", description="Diversity measure that the method diversity_max maximizes."
    )
    floor: float = Field(
        0.95,
        ge=0,
        le=1,
        description="Smallest accuracy of the members that diversity_max selects, as a fraction of that of "
        "the best member.",
    )
    target_size: int | None = Field(
        None, ge=1, description="Number of members to select; null selects the number with the best score."
    )
    cost_budget: CostBudget = Field(
        default_factory=CostBudget, description="Largest cost of the pruned ensemble."
    )


class Recipe(Section):
    """All settings of a run; every key has a default, except for the images and the backbones.

    See Also
    --------
    committee.recipe.load.load_recipe : Load a recipe from a YAML file.

    Examples
    --------
    >>> from committee.recipe.load import load_recipe
    >>> recipe = load_recipe(None, ["dataset.path=photos", "backbones.include=[resnet50]", "folds=3"])
    >>> recipe.training.folds
    3
    >>> [member.name for member in recipe.members()]
    ['resnet50']
    """

    project: Project = Field(default_factory=Project, description="Name and version of the project.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="Device of the networks; auto is a GPU if there is one."
    )
    workers: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        "auto",
        description="Number of fits, or of exports of packages, at the same time. Auto is one for each CPU "
        "thread, at most 8, and one for training on a GPU; with the executor `ray`, as many fits as the "
        "cluster has room for.",
    )
    seed: int = Field(0, ge=0, le=2**63 - 1, description="Seed of all randomness.")
    dataset: Dataset = Field(default_factory=Dataset, description="The images and their splits.")
    training: Training = Field(default_factory=Training, description="Settings of training for all members.")
    backbones: Backbones = Field(default_factory=Backbones, description="Backbones to train or to combine.")
    models: list[AnyModel] = Field(
        [],
        description="Backbones with their own settings of training: names, or {name: ..., as: ..., lr: ...}.",
    )
    overrides: dict[str, Override] = Field(
        {}, description="Settings of training that differ, by backbone or member name."
    )
    runs: Runs = Field(default_factory=Runs, description="Ensembles to build.")
    exports: Exports = Field(default_factory=Exports, description="Export of members and ensembles.")
    store: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="Folder of all results, relative to the current folder, or an address such as "
        "s3://bucket/prefix. The option --store and the variable $COMMITTEE_STORE take precedence; null is "
        "./store. Only commands read it: functions of Python take the store as an argument.",
    )
    pruning: Pruning | None = Field(None, description="Selection of members by score and cost.")
    distillation: Distillation | None = Field(
        None, description="Knowledge distillation of an ensemble into one network."
    )
    channel_pruning: ChannelPruning | None = Field(
        None, description="Removal of channels from trained members."
    )
    tta: Tta | None = Field(None, description="Test-time augmentation of members and ensembles.")
    compress: Compression | None = Field(None, description="Compression of exported files.")
    compare: Comparison | None = Field(
        None, description="Comparison of models as exported files, under one clock."
    )

    model_card: ModelCard = Field(
        default_factory=ModelCard,
        description="What the model cards of packages and bundles say of the use of a model.",
    )

    report: Report = Field(default_factory=Report, description="The report of a run.")
    executor: AnyExecutor = Field(
        default_factory=lambda: ExecutorChoice.model_construct({"name"}, name=AUTO),
        description="Where fits are made: `in_process`, `processes` of this machine, or `ray`, or "
        "{name: ray, address: ..., ...options}. Auto is `processes`.",
    )
    time_limit: Duration | None = Field(
        None,
        description="Time limit of a command that trains, such as 8h or 1h30m: what is trained by then is "
        "combined, evaluated and exported, and what is not is named. Null is no limit. Debug runs ignore it.",
    )
    tracking: Trackings | None = Field(
        None,
        description="Trackers that record each run: a name, {name: ..., ...options}, or a list of them. Null "
        "is `mlflow` where MLFLOW_TRACKING_URI is set, and otherwise none.",
    )

    def make_executor(self) -> Executor:
        """Return the executor that makes the fits.

        Raises
        ------
        UsageError
            It cannot make `workers` fits at once.
        """
        return self.executor.make(self.workers)

    def members(self) -> list[MemberSpec]:
        """Return the members to train, without those in `backbones.exclude`.

        Raises
        ------
        RecipeError
            Two members have the same name.
        """
        every = self.all_members()
        backbones = {spec.name: spec.backbone for spec in every}
        excluded = {name for each in self.backbones.exclude for name in matches(each, backbones)}
        specs = [spec for spec in every if spec.name not in excluded]
        check_unique(specs)
        return specs

    def all_members(self) -> list[MemberSpec]:
        """Return the members of `backbones.include` and `models`, with those in `backbones.exclude`."""
        described = {model.name for model in self.models}
        models = [Model(name=name) for name in self.backbones.include if name not in described]
        sizes = {"img_size": self.dataset.img_size, "batch_size": self.dataset.batch_size}
        return [
            spec
            for model in [*models, *self.models]
            for spec in expand(model, self.training, sizes, self.overrides, self.seed)
        ]

    def trusted_backbones(self) -> tuple[str, ...]:
        """Return the `python:` backbones that this recipe names: only these are built from a store."""
        named = [*(spec.backbone for spec in self.members()), *self.backbones.trusted]
        if self.distillation is not None:
            named.append(self.distillation.student)
        return tuple(dict.fromkeys(name for name in named if name.startswith("python:")))

    def trusted(self) -> tuple[str, ...]:
        """Return what an exported file may run: trusted backbones, formats, and what their options name.

        See Also
        --------
        committee.exporters.base.open_exported : Opens a file.
        """
        formats = self.exports.formats
        imports = [name for each in formats if each.options for name in each.make().imports]
        return (
            *self.trusted_backbones(),
            *(each.format for each in formats),
            *self.exports.trusted,
            *imports,
        )

    def select(self, available: Mapping[str, str]) -> tuple[list[str], list[str]]:
        """Return the trained members that the recipe names, and the names that match none of them.

        Parameters
        ----------
        available : mapping
            Member name -> backbone. If the recipe names no backbone, all are selected but those excluded.
        """
        wanted = [*self.backbones.include, *(model.alias or model.name for model in self.models)]
        return select(wanted, self.backbones.exclude, available)
