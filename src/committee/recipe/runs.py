"""Settings of the ensembles and of the members derived from others: the section `runs`."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from committee.base.registry import Family
from committee.errors import nearest
from committee.recipe.objective import Objective
from committee.recipe.section import Section, entry_of, one_of, or_text, refuse
from committee.recipe.training import Slug

COMBINERS: Family[Any] = Family("committee.combiners", "combiner")
Combiner = entry_of(COMBINERS.package)
Positive = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0)]
Calibration = Literal["pooled", "vector", "members", "none"]
CALIBRATIONS: tuple[str, ...] = get_args(Calibration)
SoupMethod = entry_of("committee.training.soups")
FusionMethod = entry_of("committee.models.fusions")
PruningMethod = entry_of("committee.pruning")


class Method(Section):
    """A combiner with its options."""

    model_config = ConfigDict(extra="allow")

    combiner: Combiner = Field(  # type: ignore[valid-type]
        description="Name of the combiner; further keys are its options."
    )
    name: Slug | None = Field(None, description="Name of the ensemble; null uses the combiner's name.")

    @model_validator(mode="after")
    def _check_options(self) -> Method:
        for key, value in self.options.items():
            _check_option(str(self.combiner), key, value, key)
        return self

    @property
    def options(self) -> dict[str, Any]:
        """Options of the combiner."""
        return dict(self.model_extra or {})


def _check_option(combiner: str, option: str, value: Any, key: str) -> None:
    """Raise a validation error unless `option` is an option of `combiner`; check nested combiners too."""
    known = sorted(COMBINERS.options(combiner))
    if option not in known:
        raise refuse(f"an option of {combiner} ({', '.join(known) or 'none'})", nearest(option, known), key)
    if isinstance(value, dict) and "combiner" in value:
        inner = {**value}
        name = one_of(COMBINERS.names(), inner.pop("combiner"))
        for each, nested in inner.items():
            _check_option(name, each, nested, key)


def _check_calibration(value: Any) -> Any:
    if isinstance(value, str) and value not in CALIBRATIONS:
        todo = nearest(value, CALIBRATIONS) or "Numbers have no temperature: leave it out for them."
        raise refuse(f"one of {', '.join(CALIBRATIONS)}", todo)
    return value


AnyMethod = Annotated[Method, or_text(Method, "combiner")]


def _default_methods() -> list[Method]:
    return [
        Method.model_construct({"combiner"}, combiner=name)
        for name in ("soft_voting", "hard_voting", "logit_averaging", "weighted")
    ]


class ScoreEnsemble(Section):
    """Ensembles that combine the members' predicted probabilities."""

    enable: bool = Field(True, description="Build these ensembles.")
    methods: list[AnyMethod] = Field(
        default_factory=_default_methods,
        min_length=1,
        description="Combiners to build: names, or {combiner: name, ...options}.",
    )
    optimize_weights: bool = Field(
        True, description="Fit the weights of `weighted`; false uses those in `weights`."
    )
    weights: dict[str, Weight] | None = Field(
        None, description="Weights of `weighted` by member, in place of fitted ones."
    )
    space: Literal["probability", "logit"] = Field(
        "probability", description="Whether `weighted` averages probabilities or logits."
    )
    optimization_metric: Objective = Field(
        "log_loss",
        description="Metric that fitted weights and selections of members optimize; "
        "`python:module.function` is a function of labels and probabilities.",
    )
    calibrate: Annotated[Calibration, BeforeValidator(_check_calibration)] = Field(
        "pooled",
        description="Calibration: `pooled` fits one temperature for the output of the ensemble, `vector` a "
        "scale and a bias for each class, and `members` one temperature for each member before they are "
        "combined.",
    )
    contributions_budget: float | None = Field(
        30.0,
        ge=0,
        description="Seconds that the fits without each of the members of an ensemble may take, by estimate, "
        "to report how much each member contributes; null is no limit.",
    )

    @model_validator(mode="after")
    def _check_weights(self) -> ScoreEnsemble:
        if self.weights is not None and self.optimize_weights and "optimize_weights" in self.model_fields_set:
            raise refuse("either optimize_weights: true or weights, not both", "Leave one out.", "weights")
        uses_weights = any(method.combiner == "weighted" and not method.options for method in self.methods)
        if uses_weights and not self.optimize_weights and self.weights is None:
            raise refuse(
                "true without weights",
                "Set weights: {member: weight}, or leave optimize_weights out.",
                "optimize_weights",
            )
        return self


class Network(Section):
    """A small neural network (multilayer perceptron)."""

    hidden_dims: list[Positive] = Field([256, 128], description="Widths of the hidden layers.")
    epochs: int = Field(
        50,
        ge=1,
        description="Largest number of epochs; the number is selected by validation within the training "
        "rows.",
    )
    lr: float = Field(1e-3, gt=0, description="Learning rate.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Dropout rate of the hidden layers.")


class Trees(Section):
    """Gradient-boosted trees."""

    n_estimators: int = Field(100, ge=1, description="Number of boosting rounds.")
    max_depth: int = Field(6, ge=1, description="Maximum depth of a tree.")
    learning_rate: float = Field(0.1, gt=0, description="Learning rate (shrinkage) of each round.")


class Forest(Section):
    """A random forest."""

    n_estimators: int = Field(200, ge=1, description="Number of trees.")
    max_depth: int = Field(10, ge=1, description="Maximum depth of a tree.")


Learner = entry_of(COMBINERS.package, prefix="stacking_")
Fuser = entry_of(COMBINERS.package, "attention", prefix="stacking_")


class Stacking(Section):
    """Meta-learners fitted on the members' out-of-fold predictions (Wolpert 1992)."""

    enable: bool = Field(True, description="Build these ensembles.")
    meta_learners: list[Learner] = Field(  # type: ignore[valid-type]
        ["lr"],
        min_length=1,
        description="Meta-learners to build, such as lr for logistic regression: combiners named stacking_*.",
    )
    features: Literal["auto", "log_probability", "probability"] = Field(
        "auto",
        description="Features computed from each member's prediction; `auto` keeps the form with the smaller "
        "log-loss in a cross-validation inside the rows of the fit.",
    )
    extras: bool = Field(
        False,
        description="Add entropy and margin of each member's prediction, and the disagreement of the "
        "members, to the features.",
    )
    mlp_config: Network = Field(default_factory=Network, description="Settings of mlp.")
    xgb_config: Trees = Field(default_factory=Trees, description="Settings of xgb.")
    rf_config: Forest = Field(default_factory=Forest, description="Settings of rf.")


class ModelSoup(Section):
    """Model soups: averages of the weights of several networks (Wortsman et al. 2022)."""

    enable: bool = Field(True, description="Build these members.")
    methods: list[SoupMethod] = Field(  # type: ignore[valid-type]
        ["uniform", "greedy"], min_length=1, description="Soups to build from each group of networks."
    )
    over: list[Literal["members", "snapshots", "folds"]] = Field(
        ["members", "snapshots", "folds"],
        min_length=1,
        description="Groups of networks to average: members with the same backbone, the snapshots of one "
        "run, the fold networks of one member.",
    )
    barrier: float = Field(
        0.1,
        ge=0,
        description="Largest loss barrier: how far the log-loss on the line between two networks may exceed "
        "the interpolation of theirs. Networks behind a larger one are aligned by permuting their channels, "
        "and left out if the barrier remains.",
    )
    recompute_bn: bool = Field(
        True, description="Recompute the batch-norm statistics after averaging the weights."
    )
    num_batches: int = Field(
        100, ge=1, description="Number of batches used to recompute batch-norm statistics."
    )


class SnapshotEnsemble(Section):
    """Snapshot ensembles: members from one run with a cyclic learning rate (Huang et al. 2017)."""

    enable: bool = Field(True, description="Train these members.")
    n_snapshots: int = Field(
        5, ge=2, description="Number of cycles of the learning rate; a snapshot is taken after each."
    )
    epochs_per_cycle: int = Field(10, ge=1, description="Number of epochs in a cycle.")


class Fusion(Section):
    """Fusion heads: classifiers on the members' concatenated or combined embeddings."""

    enable: bool = Field(True, description="Train these members.")
    extract_embeddings: bool = Field(True, description="Write the embeddings of all rows to the store.")
    fusion_methods: list[FusionMethod] = Field(  # type: ignore[valid-type]
        ["concat_mlp"], min_length=1, description="Fusion heads to train."
    )
    fusion_config: Network = Field(default_factory=Network, description="Settings of the fusion heads.")
    end_to_end: bool = Field(
        False,
        description="Then fine-tune copies of the backbones together with the head, at a tenth of the "
        "learning rate.",
    )


class Moe(Section):
    """A mixture of experts: members weighted by a gating network (Shazeer et al. 2017)."""

    enable: bool = Field(True, description="Train it.")
    num_experts: int = Field(5, ge=2, description="Number of experts.")
    method: PruningMethod = Field(  # type: ignore[valid-type]
        "greedy_forward", description="Pruning method that selects the experts among the members."
    )
    top_k: int = Field(2, ge=1, description="Number of experts that are evaluated for each image.")
    gating_hidden_dim: int = Field(128, ge=1, description="Width of the hidden layer of the gating network.")
    epochs: int = Field(
        30,
        ge=1,
        description="Largest number of epochs of the gating network; the number is selected by validation "
        "within the training rows.",
    )

    @model_validator(mode="after")
    def _check_top_k(self) -> Moe:
        if self.top_k > self.num_experts:
            raise refuse(f"at most num_experts ({self.num_experts})", "Lower it.", "top_k")
        return self


class MetaFuser(Section):
    """A meta-learner on the predictions of ensembles and members."""

    enable: bool = Field(True, description="Build it.")
    name: Slug = Field("meta_fuser", description="Name of the resulting ensemble.")
    input_ensembles: list[str] = Field(
        ["soft_voting", "logit_averaging"],
        min_length=1,
        description="Inputs: ensembles and members of the store, by full or short name.",
    )
    fuser_type: Fuser = Field(  # type: ignore[valid-type]
        "lr", description="The meta-learner; attention computes the weights of the inputs for each image."
    )
    mlp_config: Network = Field(default_factory=Network, description="Settings of mlp.")
    xgb_config: Trees = Field(default_factory=Trees, description="Settings of xgb.")
    rf_config: Forest = Field(default_factory=Forest, description="Settings of rf.")


class Runs(Section):
    """Which ensembles to build; a section that is present is enabled unless it contains `enable: false`."""

    members: list[str] | None = Field(
        None,
        min_length=1,
        description="Members of the ensembles; may include derived ones, such as soup_greedy_resnet18. Null "
        "uses the members that backbones and models name.",
    )
    score_ensemble: ScoreEnsemble = Field(
        default_factory=ScoreEnsemble, description="Ensembles that combine the members' probabilities."
    )
    stacking: Stacking | None = Field(None, description="Meta-learners on out-of-fold predictions.")
    model_soup: ModelSoup | None = Field(None, description="Averages of the weights of several networks.")
    snapshot_ensemble: SnapshotEnsemble | None = Field(
        None, description="Snapshots of one run of each member, named snapshot_<member>."
    )
    fusion: Fusion | None = Field(None, description="Classifiers on the members' embeddings.")
    moe: Moe | None = Field(None, description="Mixture of experts.")
    meta_fuser: MetaFuser | None = Field(None, description="A meta-learner on the outputs of ensembles.")
