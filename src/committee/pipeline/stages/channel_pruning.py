"""The stage that removes channels of trained members (structured pruning)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from committee.errors import StoreError, UsageError
from committee.pipeline.discover import MEMBERS, Catalog, discover, look_through, require_store, set_aside
from committee.pipeline.shared.choose import choose_backbones
from committee.pipeline.shared.derived_members import DerivedContext, open_context
from committee.pipeline.shared.fits import fit_plans
from committee.pipeline.shared.for_task import require_served
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.records import inference_of, is_single_network
from committee.pipeline.shared.summary import Summary, Table
from committee.pipeline.stages.base import Names, Stage, Verbs, enabled
from committee.recipe.channel_pruning import ChannelPruning as Section
from committee.recipe.members import MemberSpec, expand
from committee.recipe.model import Recipe
from committee.recipe.training import Model
from committee.recipe.training import Plan as PlanSection
from committee.store.layout import Store
from committee.training.plans.channel_pruning import ChannelPruning as Plan

PREFIX = "channel_pruned_"


class ChannelPruning(Stage):
    """Remove channels of trained members, and fine-tune the rest.

    The structured pruning of torch chooses the channels with the smallest weights; they are really removed
    from all layers that compute or read them. The result is the member channel_pruned_NAME, which has
    out-of-fold predictions and is evaluated, combined, exported and compressed like any other.

    Parameters
    ----------
    members : sequence of str
        Members to prune in place of those of the recipe.

    References
    ----------
    Li et al., "Pruning filters for efficient ConvNets", 2017 (arXiv 1608.08710).

    See Also
    --------
    committee.training.fit.channels.remove_channels : How one network is pruned.

    Examples
    --------
    >>> from committee.pipeline.stages.channel_pruning import ChannelPruning
    >>> from committee.recipe.load import load_recipe
    >>> ChannelPruning().names(load_recipe(None, ["channel_pruning.of=[resnet18]"])).members
    ('channel_pruned_resnet18',)
    """

    sections = ("channel_pruning",)
    order = 25
    optional = True
    verbs: ClassVar[Verbs] = {
        "prune-channels": {
            "--member": {
                "action": "append",
                "dest": "members",
                "metavar": "NAME",
                "help": "member to prune; may be repeated (default: channel_pruning.of)",
            },
            "--amount": {
                "type": "float",
                "metavar": "SHARE",
                "help": "share of the channels that is removed, such as 0.5",
                "sets": "channel_pruning.amount",
            },
        }
    }
    debug = "prune_channels"
    todo = "Add the section to the recipe, or name a member: --member NAME"

    def __init__(self, members: Sequence[str] = ()) -> None:
        self.members = tuple(members)

    def is_wanted(self, recipe: Recipe) -> bool:
        """Return whether the section, or a member that was given, asks for the stage."""
        return bool(self.members) or super().is_wanted(recipe)

    def sample(self, recipe: Recipe, fast: bool) -> Recipe:
        """Return the recipe with the section; a fast run trains one epoch."""
        return enabled(recipe, self.sections[0], **({"epochs": 1} if fast else {}))

    def names(self, recipe: Recipe) -> Names:
        """Return the names of the pruned members."""
        of = self.members or self._section(recipe).of or [spec.name for spec in recipe.members()]
        return Names(members=tuple(f"{PREFIX}{name}" for name in of))

    def plan(self, recipe: Recipe, store: Store) -> Summary:
        """Return the members that would be pruned."""
        section, catalog = self._section(recipe), look_through(store)
        chosen = self._chosen(section, recipe, store, catalog)
        rows = [[f"{PREFIX}{name}", name, f"{section.amount:.0%}", section.epochs] for name in chosen]
        table = Table("Members that would be pruned", ["name", "of", "removed", "epochs"], rows)
        return Summary({"pruned": {f"{PREFIX}{name}": name for name in chosen}}, [table])

    def run(self, recipe: Recipe, store: Store) -> Outcome:
        """Prune the members.

        Raises
        ------
        UsageError
            A member consists of several networks.
        UnknownNameError
            The store has no such member.
        StoreError
            A member that is named is damaged or unfinished.
        """
        require_served(self.sections[0], store)
        section = self._section(recipe)
        require_store(store)
        outcome = Outcome()
        with store.hold():
            catalog = discover(store)
            set_aside(catalog, outcome, needed=MEMBERS, renewed=self.renewed(recipe))
            chosen = self._chosen(section, recipe, store, catalog)
            context = open_context(recipe, store, catalog, chosen)
            plans = [_plan(name, section, recipe, context) for name in chosen]
            fit_plans(plans, store, recipe.make_executor(), outcome)
            discover(store)
        return outcome

    def rehearse(self, recipe: Recipe, store: Store) -> Outcome:
        """Prune one member: the first."""
        return ChannelPruning(store.members()[:1]).run(recipe, store)

    def _section(self, recipe: Recipe) -> Any:
        """Return the section; the verb needs none, since its defaults are of use."""
        found = recipe.channel_pruning or Section()
        return found if self.members or found.enable else self.section(recipe)

    def _chosen(self, section: Any, recipe: Recipe, store: Store, catalog: Catalog) -> list[str]:
        """Return the full names of the members to prune."""
        named = [store.resolve(name) for name in self.members or section.of or ()]
        wrong = next(
            (name for name in named if name in store.ensembles() or not is_single_network(store, name)), None
        )
        if wrong is not None:
            raise UsageError(
                wrong,
                expected="a member that is a single network",
                got="several networks",
                todo="Prune its members, and combine the results.",
            )
        whole = {str(entry["name"]) for entry in catalog["members"]}
        left_out = next((name for name in named if name not in whole), None)
        if left_out is not None:
            raise StoreError(
                left_out,
                expected="a finished and undamaged member",
                got="one that the catalog leaves out",
                todo="Run: committee discover",
            )
        every = choose_backbones(recipe, catalog["members"], store) if not named else ()
        return named or [name for name in every if is_single_network(store, name)]


def _plan(name: str, section: Any, recipe: Recipe, context: DerivedContext) -> Plan:
    entry = context.entries[name]
    return Plan(
        _spec(name, section, recipe, entry),
        context.dataset,
        context.store,
        context.device,
        name,
        context.sources([name])[name],
        section,
        inference_of(entry),
        recipe.trusted_backbones(),
    )


def _spec(name: str, section: Any, recipe: Recipe, entry: Any) -> MemberSpec:
    """Return the settings of the fine-tuning: those of `training`, with those of the section."""
    model = Model.model_validate({"name": str(entry["backbone"]), "as": f"{PREFIX}{name}"})
    size = int(entry.get("img_size") or recipe.dataset.img_size)
    sizes = {"img_size": size, "batch_size": recipe.dataset.batch_size}
    (spec,) = expand(model, recipe.training, sizes, {}, recipe.seed)
    own = {"epochs": section.epochs, "lr": section.lr, "plan": PlanSection(), "pretrained": False}
    return replace(spec, pretrained=False, training=spec.training.model_copy(update=own))
