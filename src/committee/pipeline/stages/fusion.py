"""Fusion of features: the members' embeddings once, then the heads on them, cross-fitted."""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from committee.base.progress import track
from committee.errors import UsageError
from committee.pipeline.discover import MEMBERS, Catalog, discover, look_through, require_store, set_aside
from committee.pipeline.shared.choose import choose_backbones, enabled
from committee.pipeline.shared.derived_members import Bench, carry_out, open_bench
from committee.pipeline.shared.outcome import Outcome
from committee.recipe.model import Recipe
from committee.recipe.runs import Fusion
from committee.store.commit import commit
from committee.store.layout import Store
from committee.store.manifest import digest, is_done
from committee.training.fit.embeddings import extract
from committee.training.plans.fusion import FusionPlan

log = logging.getLogger(__name__)

PREFIX = "fusion_"


def fusion_train(recipe: Recipe, store: Store) -> Outcome:
    """Train the fusions that a recipe asks for, on members of the store.

    Returns
    -------
    Outcome
        `fusion_<method>` of each method, and those that failed with their reasons.

    Raises
    ------
    UsageError
        The recipe has no such section, or fewer than two members are there.
    StoreError
        There are no members.
    """
    section = section_of(recipe)
    require_store(store)
    outcome = Outcome(unbuilt=recipe.unbuilt())
    with store.hold():
        catalog = discover(store)
        set_aside(catalog, outcome, needed=MEMBERS)
        members = fused_members(recipe, store, catalog)
        bench = open_bench(recipe, store, catalog)
        with extracted(bench, members, keep=section.extract_embeddings) as places:
            carry_out(_plans(section, members, places, bench), bench, outcome)
        discover(store)
    return outcome


def plan_fusion_train(recipe: Recipe, store: Store) -> dict[str, Any]:
    """Return what `fusion_train` would do: `members` (`name`, `fits`, `extracted`), and `fusions`."""
    section, catalog = section_of(recipe), look_through(store)
    entries = {str(entry["name"]): entry for entry in catalog["members"]}
    members = [
        {
            "name": name,
            "fits": len(entries[name]["fits"]),
            "extracted": store.fusion_embeddings(name).exists(),
        }
        for name in fused_members(recipe, store, catalog)
    ]
    return {
        "members": members,
        "fusions": names_of(section),
        "end_to_end": section.end_to_end,
    }


def section_of(recipe: Recipe) -> Fusion:
    """Return `runs.fusion`, or raise UsageError where it is not enabled."""
    todo = "Write it into the recipe, or: --set runs.fusion.fusion_methods=[concat_mlp]"
    return enabled(recipe.runs.fusion, "runs.fusion", todo)


def names_of(section: Fusion) -> list[str]:
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
        for name in track(members, what="embeddings"):
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
    section: Fusion, members: Sequence[str], places: dict[str, Path], bench: Bench
) -> list[FusionPlan]:
    inputs = bench.inputs(members)
    return [
        FusionPlan(f"{PREFIX}{method}", str(method), inputs, section, places, bench.recipe.training)
        for method in dict.fromkeys(section.fusion_methods)
    ]
