"""The stage that builds ensembles by combining scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from committee.errors import UsageError
from committee.pipeline.shared.build import build, plan_of
from committee.pipeline.shared.choose import Method, choose_methods, full_name, is_soup
from committee.pipeline.shared.for_task import for_store
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.summary import Summary
from committee.pipeline.stages.base import Names, Stage, Verbs
from committee.recipe.model import Recipe
from committee.store.layout import Store


class ScoreEnsemble(Stage):
    """Build ensembles of stored members, and cross-fit their scores.

    The methods are those of the recipe (runs.score_ensemble, runs.stacking and runs.model_soup), or those
    named with --method. Ensembles are fitted on stored out-of-fold predictions, or on the val split where
    members were trained without folds: no network is run.

    Parameters
    ----------
    methods : sequence of str or mapping
        Methods to build in place of the recipe's: names of combiners or ensembles, or mappings as in the
        recipe, such as `{"combiner": "greedy_selection", "bags": 20, "name": "bagged"}`.

    See Also
    --------
    committee.pipeline.stages.stacking.Stacking : Builds the ensembles that train a model on predictions.
    committee.pipeline.stages.model_soup.ModelSoup : Averages weights.

    Examples
    --------
    >>> from committee.pipeline.stages.score_ensemble import ScoreEnsemble
    >>> from committee.recipe.load import load_recipe
    >>> recipe = load_recipe(None, ["runs.score_ensemble.methods=[soft_voting, weighted]"])
    >>> ScoreEnsemble().names(recipe).ensembles
    ('soft_voting_ensemble', 'weighted_ensemble')
    """

    sections = ("runs.score_ensemble",)
    order = 50
    verbs: ClassVar[Verbs] = {
        "build-ensemble": {
            "--method": {
                "action": "append",
                "dest": "methods",
                "metavar": "NAME",
                "mappings": True,
                "help": "build this method in place of the recipe's: a name, or a mapping with options such "
                "as '{combiner: greedy_selection, bags: 20}'; may be repeated",
            }
        }
    }
    debug = "build_ensemble"
    todo = "Name a method: --method soft_voting"

    def __init__(self, methods: Sequence[str | Method] = ()) -> None:
        self.methods = tuple(methods)

    def is_wanted(self, recipe: Recipe) -> bool:
        """Return whether the recipe, or the methods that were given, contain one that is not a soup."""
        if self.methods:
            return not all(map(is_soup, self.methods))
        return recipe.runs.score_ensemble.enable and bool(recipe.runs.score_ensemble.methods)

    def chosen(self, recipe: Recipe) -> list[Method]:
        """Return the methods to build."""
        return choose_methods(recipe, [each for each in self.methods if not is_soup(each)])

    def names(self, recipe: Recipe) -> Names:
        """Return the names of the ensembles."""
        return Names(ensembles=tuple(map(full_name, self.chosen(recipe))))

    def plan(self, recipe: Recipe, store: Store) -> Summary:
        """Return the number of fits of each ensemble that would be built."""
        recipe = for_store(recipe, store)
        return plan_of(self._required(recipe), recipe, store)

    def run(self, recipe: Recipe, store: Store) -> Outcome:
        """Build the ensembles.

        Raises
        ------
        UsageError
            No method is enabled.
        UnknownNameError
            A method does not exist.
        StoreError
            The store has no members, or some have no predictions to fit on.
        """
        recipe = for_store(recipe, store)
        return build(self._required(recipe), recipe, store)

    def _required(self, recipe: Recipe) -> list[Method]:
        methods = self.chosen(recipe)
        if not methods:
            raise UsageError("runs", expected="at least one enabled method", got="none", todo=self.todo)
        return methods
