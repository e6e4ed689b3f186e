"""The stage that trains meta-learners on stored predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from committee.pipeline.shared.build import build, plan_of
from committee.pipeline.shared.choose import Method, full_name, stacks
from committee.pipeline.shared.for_task import for_store
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.summary import Summary
from committee.pipeline.stages.base import Names, Stage, Verbs, enabled
from committee.recipe.model import Recipe
from committee.store.layout import Store


class Stacking(Stage):
    """Train meta-learners on out-of-fold predictions of the members.

    The learners are those of runs.stacking in the recipe, or those named with --meta-learner. Their scores
    are cross-fitted. The strength of the regularization of each is chosen inside the rows of a fit. No
    network is run.

    Parameters
    ----------
    methods : sequence of str
        Methods to build in place of the recipe's. If there are any, this stage is not part of a run, since
        ScoreEnsemble builds them.

    See Also
    --------
    committee.combiners.stacking_lr.StackingLr : The learner `lr`.
    committee.pipeline.stages.score_ensemble.ScoreEnsemble : Combines scores by simpler rules.

    Examples
    --------
    >>> from committee.pipeline.stages.stacking import Stacking
    >>> from committee.recipe.load import load_recipe
    >>> Stacking().names(load_recipe(None, ["runs.stacking.meta_learners=[lr, xgb]"])).ensembles
    ('stacking_lr', 'stacking_xgb')
    """

    sections = ("runs.stacking",)
    order = 60
    verbs: ClassVar[Verbs] = {
        "stack": {
            "--meta-learner": {
                "action": "append",
                "metavar": "NAME",
                "help": "train this learner, such as lr, in place of the recipe's; may be repeated",
                "sets": "runs.stacking.meta_learners",
                "enables": "runs.stacking.enable",
            }
        },
        "build-ensemble": {},
    }
    debug = "stack"
    todo = "Add the section to the recipe, or name a learner: --meta-learner lr"

    def __init__(self, methods: Sequence[str | Method] = ()) -> None:
        self.methods = tuple(methods)

    def is_wanted(self, recipe: Recipe) -> bool:
        """Return whether the recipe enables the section, and no other methods are given."""
        return not self.methods and super().is_wanted(recipe)

    def sample(self, recipe: Recipe, fast: bool) -> Recipe:
        """Return the recipe with its learners; without any, with the default one of the task."""
        return recipe if self.is_wanted(recipe) else enabled(recipe, self.sections[0])

    def chosen(self, recipe: Recipe) -> list[Method]:
        """Return the methods to build."""
        return stacks(self.section(recipe))

    def names(self, recipe: Recipe) -> Names:
        """Return the names of the ensembles."""
        return Names(ensembles=tuple(map(full_name, self.chosen(recipe))))

    def plan(self, recipe: Recipe, store: Store) -> Summary:
        """Return the number of fits of each learner."""
        recipe = for_store(recipe, store)
        return plan_of(self.chosen(recipe), recipe, store)

    def run(self, recipe: Recipe, store: Store) -> Outcome:
        """Train the learners.

        Raises
        ------
        UsageError
            The recipe does not enable the section.
        StoreError
            The store has no members, or some have no predictions to fit on.
        """
        recipe = for_store(recipe, store)
        return build(self.chosen(recipe), recipe, store)
