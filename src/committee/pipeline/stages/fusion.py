"""The stage that trains fusion heads on the embeddings of members."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from committee.base.progress import track
from committee.errors import UsageError
from committee.pipeline.discover import MEMBERS, Catalog, discover, look_through, require_store, set_aside
from committee.pipeline.shared.choose import choose_backbones
from committee.pipeline.shared.derived_members import DerivedContext, open_context
from committee.pipeline.shared.fits import fit_plans
from committee.pipeline.shared.for_task import require_served
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.records import is_single_network
from committee.pipeline.shared.summary import Summary, Table
from committee.pipeline.stages.base import Names, Stage, Verbs, enabled
from committee.recipe.model import Recipe
from committee.recipe.runs import Fusion as Section
from committee.store.commit import commit, remove
from committee.store.layout import Store
from committee.store.manifest import digest, is_done
from committee.training.fit.embeddings import extract
from committee.training.plans.fusion import FusionPlan

log = logging.getLogger(__name__)

PREFIX = "fusion_"
FAST_EPOCHS = 2
"""Epochs of a head in a fast debug run."""


class Fusion(Stage):
    """Train fusion heads on the embeddings of several members.

    The embeddings of each member are extracted once and stored; each head of runs.fusion is trained on them,
    cross-fitted, and becomes a member of the store.

    See Also
    --------
    committee.models.fusions : The fusion heads.

    Examples
    --------
    >>> from committee.pipeline.stages.fusion import Fusion
    >>> from committee.recipe.load import load_recipe
    >>> Fusion().names(load_recipe(None, ["runs.fusion.fusion_methods=[concat_mlp]"])).members
    ('fusion_concat_mlp',)
    """

    sections = ("runs.fusion",)
    order = 30
    optional = True
    verbs: ClassVar[Verbs] = {"fusion-train": {}}
    debug = "fusion_train"
    todo = "Add the section to the recipe, or: --set runs.fusion.fusion_methods=[concat_mlp]"

    def sample(self, recipe: Recipe, fast: bool) -> Recipe:
        """Return the recipe with its heads, or with concat_mlp; a fast run has two epochs."""
        config = (recipe.runs.fusion or Section()).fusion_config
        update = {"epochs": FAST_EPOCHS} if fast else {}
        return enabled(recipe, self.sections[0], fusion_config=config.model_copy(update=update))

    def names(self, recipe: Recipe) -> Names:
        """Return the names of the fusions."""
        return Names(members=tuple(names_of(self.section(recipe))))

    def plan(self, recipe: Recipe, store: Store) -> Summary:
        """Return the members that would be fused, and whether their embeddings are stored."""
        section, catalog = self.section(recipe), look_through(store)
        entries = {str(entry["name"]): entry for entry in catalog["members"]}
        members = [
            {
                "name": name,
                "fits": len(entries[name]["fits"]),
                "extracted": store.fusion_embeddings(name).exists(),
            }
            for name in fused_members(recipe, store, catalog)
        ]
        names = names_of(section)
        rows = [[each["name"], each["fits"], "yes" if each["extracted"] else "no"] for each in members]
        how = " and then trained end to end" if section.end_to_end else ""
        return Summary(
            {"members": members, "fusions": names, "end_to_end": section.end_to_end},
            [
                Table("Embeddings", ["member", "networks", "in the store"], rows),
                f"Heads that would be trained on them{how}: {', '.join(names)}.",
            ],
        )

    def run(self, recipe: Recipe, store: Store) -> Outcome:
        """Train the heads.

        Raises
        ------
        UsageError
            The recipe does not enable the section, or fewer than two members can be fused.
        StoreError
            The store has no members.
        """
        require_served(self.sections[0], store)
        section = self.section(recipe)
        require_store(store)
        outcome = Outcome()
        with store.hold():
            catalog = discover(store)
            set_aside(catalog, outcome, needed=MEMBERS, renewed=self.renewed(recipe))
            members = fused_members(recipe, store, catalog)
            context = open_context(recipe, store, catalog, members)
            with extracted(context, members, keep=section.extract_embeddings) as places:
                plans = _plans(section, members, places, context)
                fit_plans(plans, store, recipe.make_executor(), outcome)
            discover(store)
        return outcome


def names_of(section: Section) -> list[str]:
    """Return the names of the fusions in a section."""
    return [f"{PREFIX}{method}" for method in dict.fromkeys(section.fusion_methods)]


def fused_members(recipe: Recipe, store: Store, catalog: Catalog) -> list[str]:
    """Return the members whose embeddings are fused: those that the recipe selects and that have one network.

    Raises
    ------
    UsageError
        There are fewer than two, or some of them have fold networks and others have none.
    """
    entries = {str(entry["name"]): entry for entry in catalog["members"]}
    chosen = choose_backbones(recipe, catalog["members"], store)
    single = [name for name in chosen if is_single_network(store, name)]
    for name in sorted(set(chosen) - set(single)):
        log.warning("fusion excludes %s, which consists of several networks", name)
    if len(single) < 2:
        raise UsageError(
            "runs.fusion",
            expected="at least two members",
            got=", ".join(single) or "none",
            todo="Train another backbone.",
        )
    folded = [name for name in single if len(entries[name]["fits"]) > 1 or "fold_0" in entries[name]["fits"]]
    if folded and len(folded) < len(single):
        names = ", ".join(name for name in single if name not in folded)
        raise UsageError(
            "runs.fusion",
            expected="members that all have fold networks",
            got=f"{names} without any",
            todo="Exclude members without them: backbones.exclude.",
        )
    return single


@contextlib.contextmanager
def extracted(
    context: DerivedContext, members: Sequence[str], *, keep: bool = True
) -> Iterator[dict[str, Path]]:
    """Extract the embeddings of members to files, and yield the folder of each member.

    Stored embeddings are reused if they are of the same networks and images, and replaced otherwise. If
    `keep` is false, missing embeddings are extracted to the cache, and removed after the block.
    """
    with contextlib.ExitStack() as stack:
        places = {}
        for name in track(members, what="embeddings of members", name=str):
            place = context.store.fusion_embeddings(name)
            fingerprint = digest([context.sources([name]), context.dataset.fingerprint])
            if not is_done(place, fingerprint):
                if not keep:
                    place = context.store.cache(f"embeddings-{fingerprint[:16]}")
                    stack.callback(remove, place)
                elif place.exists():
                    log.warning("%s: the embeddings are of other networks or images and are replaced", place)
                with commit(place, kind="embeddings", fingerprint=fingerprint, member=name) as new:
                    _extract(context, name, new)
            places[name] = place
        yield places


def _extract(context: DerivedContext, name: str, folder: Path) -> None:
    networks = {fit: context.store.checkpoint(name, fit) for fit in context.store.folds(name)}
    extract(
        networks,
        context.dataset,
        folder,
        batch_size=context.recipe.dataset.batch_size,
        device=context.device,
        trusted=context.recipe.trusted_backbones(),
    )


def _plans(
    section: Section, members: Sequence[str], places: dict[str, Path], context: DerivedContext
) -> list[FusionPlan]:
    inputs = context.inputs(members)
    return [
        FusionPlan(f"{PREFIX}{method}", str(method), inputs, section, places, context.recipe.training)
        for method in dict.fromkeys(section.fusion_methods)
    ]
