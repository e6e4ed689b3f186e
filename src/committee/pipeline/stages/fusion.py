"""The stage that trains fusion heads on the embeddings of members."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from committee.base.progress import track
from committee.errors import UsageError
from committee.pipeline.discover import MEMBERS, Catalog, discover, look_through, require_store, set_aside
from committee.pipeline.shared.choose import choose_backbones
from committee.pipeline.shared.derived_members import Bench, carry_out, open_bench
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.summary import Summary, Table
from committee.pipeline.stages.base import Names, Stage, Verbs, enabled
from committee.recipe.model import Recipe
from committee.recipe.runs import Fusion as Section
from committee.store.commit import commit
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
    verbs: ClassVar[Verbs] = {"fusion-train": {}}
    debug = "fusion_train"
    todo = "Add the section to the recipe, or: --set runs.fusion.fusion_methods=[concat_mlp]"

    def sample(self, recipe: Recipe, fast: bool) -> Recipe:
        """Return the recipe with its heads, or with concat_mlp; two epochs where it must be fast."""
        config = (recipe.runs.fusion or Section()).fusion_config
        update = {"epochs": FAST_EPOCHS} if fast else {}
        return enabled(recipe, self.sections[0], fusion_config=config.model_copy(update=update))

    def names(self, recipe: Recipe) -> Names:
        """Return the names of the fusions."""
        return Names(members=tuple(names_of(self.section(recipe))))

    def plan(self, recipe: Recipe, store: Store) -> Summary:
        """Return which members would be fused, and whether their embeddings are stored."""
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
            There are no members.
        """
        section = self.section(recipe)
        require_store(store)
        outcome = Outcome()
        with store.hold():
            catalog = discover(store)
            set_aside(catalog, outcome, needed=MEMBERS)
            members = fused_members(recipe, store, catalog)
            bench = open_bench(recipe, store, catalog)
            with extracted(bench, members, keep=section.extract_embeddings) as places:
                carry_out(_plans(section, members, places, bench), bench, outcome)
            discover(store)
        return outcome


def names_of(section: Section) -> list[str]:
    """Return the names of the fusions that a section asks for."""
    return [f"{PREFIX}{method}" for method in dict.fromkeys(section.fusion_methods)]


def fused_members(recipe: Recipe, store: Store, catalog: Catalog) -> list[str]:
    """Return the members whose embeddings are fused: those that the recipe means and that are one network.

    Raises
    ------
    UsageError
        They are fewer than two, or some have fold networks and others none.
    """
    entries = {str(entry["name"]): entry for entry in catalog["members"]}
    chosen = choose_backbones(recipe, catalog["members"], store)
    alone = [name for name in chosen if entries[name].get("plan", "single") in ("single", "averaging")]
    for name in sorted(set(chosen) - set(alone)):
        log.warning("fusion goes without %s: it is several networks", name)
    if len(alone) < 2:
        raise UsageError(
            "runs.fusion",
            expected="two members or more",
            got=", ".join(alone) or "none",
            todo="Train another backbone: one network alone has nothing to be fused with.",
        )
    folded = [name for name in alone if len(entries[name]["fits"]) > 1 or "fold_0" in entries[name]["fits"]]
    if folded and len(folded) < len(alone):
        names = ", ".join(name for name in alone if name not in folded)
        raise UsageError(
            "runs.fusion",
            expected="members that all have fold networks",
            got=f"none of {names}",
            todo="Leave them out: backbones.exclude.",
        )
    return alone


@contextlib.contextmanager
def extracted(bench: Bench, members: Sequence[str], *, keep: bool = True) -> Iterator[dict[str, Path]]:
    """Have the embeddings of members in files: yield the folder of each.

    Those in the store that were made by the same networks of the same images are taken; others are made
    again. Without `keep`, they are gone after the block.
    """
    with contextlib.ExitStack() as stack:
        places = {}
        for name in track(members, what="embeddings of members", name=str):
            place = bench.store.fusion_embeddings(name)
            fingerprint = digest(
                [bench.sources([name]), bench.dataset.fingerprint, bench.dataset.canvas_size]
            )
            if not is_done(place, fingerprint):
                if keep:
                    if place.exists():
                        log.warning("%s: of other networks or images: made again", place)
                    with commit(place, kind="embeddings", fingerprint=fingerprint, member=name) as new:
                        _extract(bench, name, new)
                else:
                    place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                    _extract(bench, name, place)
            places[name] = place
        yield places


def _extract(bench: Bench, name: str, folder: Path) -> None:
    networks = {fit: bench.store.checkpoint(name, fit) for fit in bench.store.folds(name)}
    extract(networks, bench.dataset, folder, batch_size=bench.recipe.dataset.batch_size, device=bench.device)


def _plans(
    section: Section, members: Sequence[str], places: dict[str, Path], bench: Bench
) -> list[FusionPlan]:
    inputs = bench.inputs(members)
    return [
        FusionPlan(f"{PREFIX}{method}", str(method), inputs, section, places, bench.recipe.training)
        for method in dict.fromkeys(section.fusion_methods)
    ]
