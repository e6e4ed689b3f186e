"""How members are combined: the keys of `runs`, those of later stages included."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator

from committee.base.registry import Family
from committee.errors import nearest
from committee.recipe.section import Section, entry_of, one_of, or_text, refuse
from committee.recipe.training import Slug

COMBINERS: Family[Any] = Family("committee.combiners", "combiner")
Combiner = entry_of(COMBINERS.package)
Positive = Annotated[int, Field(ge=1)]
Weight = Annotated[float, Field(ge=0)]
SoupMethod = entry_of("committee.training.soups")
FusionMethod = entry_of("committee.models.fusions")
PruningMethod = entry_of("committee.pruning")


class Method(Section):
    """One way to combine: a combiner's name, and its options beside it."""

    model_config = ConfigDict(extra="allow")

    combiner: Combiner = Field(description="The combiner; further keys are its options.")  # type: ignore[valid-type]
    name: Slug | None = Field(None, description="Name of the ensemble; null takes the combiner's.")

    @model_validator(mode="after")
    def _options_are_the_combiners(self) -> Method:
        for key, value in self.options.items():
            _check_option(str(self.combiner), key, value, key)
        return self

    @property
    def options(self) -> dict[str, Any]:
        """The combiner's own options."""
        return dict(self.model_extra or {})


def _check_option(combiner: str, option: str, value: Any, key: str) -> None:
    """Refuse an option that is not among the combiner's own, here or in a combiner nested in `value`."""
    known = sorted(COMBINERS.options(combiner))
    if option not in known:
        raise refuse(f"an option of {combiner} ({', '.join(known) or 'none'})", nearest(option, known), key)
    if isinstance(value, dict) and "combiner" in value:
        inner = {**value}
        name = one_of(COMBINERS.names(), inner.pop("combiner"))
        for each, nested in inner.items():
            _check_option(name, each, nested, key)


AnyMethod = Annotated[Method, or_text(Method, "combiner")]


def _default_methods() -> list[Method]:
    return [
        Method.model_construct({"combiner"}, combiner=name)
        for name in ("soft_voting", "hard_voting", "logit_averaging", "weighted")
    ]


class ScoreEnsemble(Section):
    """Combinations of the members' scores."""

    enable: bool = Field(True, description="Build these ensembles.")
    methods: list[AnyMethod] = Field(
        default_factory=_default_methods,
        min_length=1,
        description="Combiners to build: names, or {combiner: name, ...options}.",
    )
    optimize_weights: bool = Field(
        True, description="Learn the weights of `weighted`; false takes those in `weights`."
    )
    weights: dict[str, Weight] | None = Field(
        None, description="Weights of `weighted` by member, instead of learned ones."
    )
    space: Literal["probability", "logit"] = Field("probability", description="Where `weighted` averages.")
    optimization_metric: Literal["f1_macro", "accuracy", "log_loss"] = Field(
        "log_loss", description="What learned weights and selections make best."
    )
    calibrate: Literal["pooled", "members", "none"] = Field(
        "none",
        description="Temperatures: one for the ensemble's output, one for each member before it, or none.",
    )

    @model_validator(mode="after")
    def _weights_come_from_one_place(self) -> ScoreEnsemble:
        if self.weights is not None and self.optimize_weights and "optimize_weights" in self.model_fields_set:
            raise refuse("either optimize_weights: true or weights, not both", "Leave one out.", "weights")
        uses_weights = any(method.combiner == "weighted" and not method.options for method in self.methods)
        if uses_weights and not self.optimize_weights and self.weights is None:
            raise refuse(
                "true where weights are not given",
                "Give weights: {member: weight}, or let them be learned.",
                "optimize_weights",
            )
        return self


class Network(Section):
    """A small network that is trained on top of members."""

    hidden_dims: list[Positive] = Field([256, 128], description="Widths of its hidden layers.")
    epochs: int = Field(
        50, ge=1, description="Epochs, at most: how many is chosen inside the rows that it learns from."
    )
    lr: float = Field(1e-3, gt=0, description="Learning rate.")
    dropout: float = Field(0.3, ge=0, lt=1, description="Share of hidden values dropped in training.")


class Trees(Section):
    """Boosted trees on top of members."""

    n_estimators: int = Field(100, ge=1, description="Rounds.")
    max_depth: int = Field(6, ge=1, description="Deepest tree.")
    learning_rate: float = Field(0.1, gt=0, description="Shrinkage of each round.")


class Forest(Section):
    """A random forest on top of members."""

    n_estimators: int = Field(200, ge=1, description="Trees.")
    max_depth: int = Field(10, ge=1, description="Deepest tree.")


Learner = Literal["lr", "xgb", "rf", "mlp"]


class Stacking(Section):
    """Learners on the members' out-of-fold predictions (Wolpert 1992)."""

    enable: bool = Field(True, description="Build these ensembles.")
    meta_learners: list[Learner] = Field(["lr"], min_length=1, description="Learners to build.")
    features: Literal["log_probability", "probability"] = Field(
        "log_probability", description="What learners are shown of each member's answer."
    )
    extras: bool = Field(
        False, description="Show them entropy and margin of each member, and how far members disagree, too."
    )
    mlp_config: Network = Field(default_factory=Network, description="Settings of mlp.")
    xgb_config: Trees = Field(default_factory=Trees, description="Settings of xgb.")
    rf_config: Forest = Field(default_factory=Forest, description="Settings of rf.")


class ModelSoup(Section):
    """Averages of weights (Wortsman et al. 2022)."""

    enable: bool = Field(True, description="Build these members.")
    methods: list[SoupMethod] = Field(  # type: ignore[valid-type]
        ["uniform", "greedy"], min_length=1, description="Soups to make of each group of networks."
    )
    over: list[Literal["members", "snapshots", "folds"]] = Field(
        ["members", "snapshots", "folds"],
        min_length=1,
        description="What is averaged: members of one backbone, the snapshots of a run, a member's folds.",
    )
    barrier: float = Field(
        0.1,
        ge=0,
        description="Most by which the log-loss between two networks may lie above the line that "
        "joins theirs; others are left out.",
    )
    recompute_bn: bool = Field(True, description="Estimate batch-norm statistics again after averaging.")
    num_batches: int = Field(100, ge=1, description="Batches that they are estimated from.")


class SnapshotEnsemble(Section):
    """Members from one run with a cyclic learning rate (Huang et al. 2017)."""

    enable: bool = Field(True, description="Train these members.")
    n_snapshots: int = Field(5, ge=2, description="Cycles, each ending in one snapshot.")
    epochs_per_cycle: int = Field(10, ge=1, description="Epochs of a cycle.")


class Fusion(Section):
    """Networks on the members' embeddings."""

    enable: bool = Field(True, description="Train these members.")
    extract_embeddings: bool = Field(True, description="Write the embeddings to the store.")
    fusion_methods: list[FusionMethod] = Field(  # type: ignore[valid-type]
        ["concat_mlp"], min_length=1, description="Fusions to train."
    )
    fusion_config: Network = Field(default_factory=Network, description="Settings of the fusion network.")
    end_to_end: bool = Field(
        False, description="Then train copies of the backbones too, at a tenth of the rate."
    )


class Moe(Section):
    """Members as experts behind a gate."""

    enable: bool = Field(True, description="Train it.")
    num_experts: int = Field(5, ge=2, description="Moe.")
    method: PruningMethod = Field(  # type: ignore[valid-type]
        "greedy_forward", description="How the experts are chosen among the members."
    )
    top_k: int = Field(2, ge=1, description="Moe that see an image.")
    gating_hidden_dim: int = Field(128, ge=1, description="Width of the gate.")
    epochs: int = Field(
        30, ge=1, description="Epochs of the gate, at most: how many is chosen inside its rows."
    )

    @model_validator(mode="after")
    def _few_of_many(self) -> Moe:
        if self.top_k > self.num_experts:
            raise refuse(f"at most num_experts ({self.num_experts})", "Lower it.", "top_k")
        return self


class MetaFuser(Section):
    """A learner on the outputs of ensembles, and of members."""

    enable: bool = Field(True, description="Build it.")
    name: Slug = Field("meta_fuser", description="Name of the ensemble it makes.")
    input_ensembles: list[str] = Field(
        ["soft_voting", "logit_averaging"],
        min_length=1,
        description="What it reads: ensembles and members of the store, by full or short name.",
    )
    fuser_type: Literal["lr", "xgb", "rf", "mlp", "attention"] = Field(
        "lr", description="The learner; attention weighs its inputs anew for each image."
    )
    mlp_config: Network = Field(default_factory=Network, description="Settings of mlp.")
    xgb_config: Trees = Field(default_factory=Trees, description="Settings of xgb.")
    rf_config: Forest = Field(default_factory=Forest, description="Settings of rf.")


class Runs(Section):
    """Which combinations to build; a section that is written down is built unless it says enable: false."""

    members: list[str] | None = Field(
        None,
        min_length=1,
        description="What ensembles are made of, members that come of others included, "
        "such as soup_greedy_resnet18; null is what backbones and models name.",
    )
    score_ensemble: ScoreEnsemble = Field(
        default_factory=ScoreEnsemble, description="Combinations of the members' scores."
    )
    stacking: Stacking | None = Field(None, description="Learners on out-of-fold predictions.")
    model_soup: ModelSoup | None = Field(None, description="Averages of weights.")
    snapshot_ensemble: SnapshotEnsemble | None = Field(
        None, description="Snapshots of one run, of each member: snapshot_<member>."
    )
    fusion: Fusion | None = Field(None, description="Networks on embeddings.")
    moe: Moe | None = Field(None, description="Mixture of experts.")
    meta_fuser: MetaFuser | None = Field(None, description="A learner on ensembles' outputs.")
