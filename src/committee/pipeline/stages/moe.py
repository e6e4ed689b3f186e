"""The stage that trains a mixture of experts."""

from __future__ import annotations

import logging
from typing import ClassVar

from committee.pipeline.discover import MEMBERS, Catalog, discover, look_through, require_store, set_aside
from committee.pipeline.shared.choose import choose_deployed, choose_members
from committee.pipeline.shared.derived_members import open_context
from committee.pipeline.shared.fits import fit_plans
from committee.pipeline.shared.for_task import require_served
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.splits import fittable, fitting_rows, rows_in_words
from committee.pipeline.shared.summary import Summary
from committee.pipeline.stages.base import Names, Stage, Verbs, enabled
from committee.predictions.table import Predictions
from committee.recipe.model import Recipe
from committee.store.layout import Store
from committee.training.plans.moe import SIDE, MoePlan, gate_size

log = logging.getLogger(__name__)

NAME = "moe"
FAST_EPOCHS = 2
"""Epochs of the gate in a fast debug run."""


class Moe(Stage):
    """Train a mixture of experts: a gate that selects a few members.

    The gate sends each image to a few of the experts. The experts are chosen among the members by the pruning
    method of runs.moe in the recipe. The gate is trained on stored out-of-fold predictions, so no expert runs
    meanwhile. The mixture becomes the member moe.

    References
    ----------
    Shazeer et al., "Outrageously large neural networks", 2017 (arXiv 1701.06538).

    See Also
    --------
    committee.models.composites.moe.Moe : The trained mixture.

    Examples
    --------
    >>> from committee.pipeline.stages.moe import Moe
    >>> from committee.recipe.load import load_recipe
    >>> Moe().names(load_recipe(None, ["runs.moe.num_experts=3"])).members
    ('moe',)
    """

    sections = ("runs.moe",)
    order = 40
    optional = True
    verbs: ClassVar[Verbs] = {"moe-train": {}}
    debug = "moe"
    todo = "Add the section to the recipe, or: --set runs.moe.num_experts=3"

    def sample(self, recipe: Recipe, fast: bool) -> Recipe:
        """Return the recipe with its mixture, or with the default one; a fast run has two experts."""
        small = {"num_experts": 2, "top_k": 1, "epochs": FAST_EPOCHS} if fast else {}
        return enabled(recipe, self.sections[0], **small)

    def names(self, recipe: Recipe) -> Names:
        """Return the name of the mixture."""
        return Names(members=(NAME,))

    def plan(self, recipe: Recipe, store: Store) -> Summary:
        """Return the candidates for the experts, and the rows on which the gate would be trained."""
        section = self.section(recipe)
        predictions, rows, _ = _candidates(recipe, store, look_through(store))
        members = list(predictions.members)
        experts = min(section.num_experts, len(members))
        facts = {
            "members": members,
            "experts": experts,
            "method": str(section.method),
            "top_k": section.top_k,
            "rows": rows,
            "n": len(predictions),
        }
        text = (
            f"{experts} experts would be chosen by {section.method} on {rows_in_words(predictions, rows)}, "
            f"and a gate would be trained on them to send each image to {section.top_k}."
        )
        return Summary(facts, [text])

    def run(self, recipe: Recipe, store: Store) -> Outcome:
        """Train the gate.

        Raises
        ------
        UsageError
            The recipe does not enable the section, or there are too few members.
        StoreError
            The store has no members, or some have no predictions to train on.
        """
        require_served(self.sections[0], store)
        section = self.section(recipe)
        require_store(store)
        outcome = Outcome()
        with store.hold():
            catalog = discover(store)
            set_aside(catalog, outcome, needed=MEMBERS, renewed=self.renewed(recipe))
            predictions, rows, deployed = _candidates(recipe, store, catalog)
            inference = "folds" if set(deployed.values()) == {"folds"} else "refit"
            members = list(predictions.members)
            entries = {str(entry["name"]): entry for entry in catalog["members"]}
            side = gate_size(entries[name].get("img_size", SIDE) for name in members)
            context = open_context(recipe, store, catalog, members, [side])
            inputs = context.inputs(members, inference)
            fit_plans(
                [MoePlan(NAME, inputs, section, predictions, rows)], store, recipe.make_executor(), outcome
            )
            discover(store)
        return outcome


def _candidates(recipe: Recipe, store: Store, catalog: Catalog) -> tuple[Predictions, str, dict[str, str]]:
    """Return the predictions on which the gate is trained, the kind of their rows, and the deployed networks.

    If some members have fold networks, those without are excluded: in each fold, their only network would
    have been trained on the held-out rows.
    """
    entries = {str(entry["name"]): entry for entry in catalog["members"]}
    chosen = [name for name in choose_members(recipe, catalog["members"], store) if name != NAME]
    folded = [name for name in chosen if "fold_0" in entries[name]["fits"]]
    for name in sorted(set(chosen) - set(folded)) if folded else []:
        log.warning("%s excludes %s, which has no fold networks", NAME, name)
    members = folded or chosen
    deployed = choose_deployed(recipe, catalog["members"], members)
    members = fittable(store, members, deployed)
    deployed = {name: deployed[name] for name in members}
    predictions, rows = fitting_rows(store, members, deployed)
    return predictions, rows, deployed
