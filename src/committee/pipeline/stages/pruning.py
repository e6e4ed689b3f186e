"""The stage that selects members within budgets of latency and size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from committee.pipeline.discover import MEMBERS, discover, look_through, require_store, set_aside
from committee.pipeline.shared.build import BuildContext, build_all, gather
from committee.pipeline.shared.choose import Method
from committee.pipeline.shared.for_task import for_store
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.pruning_report import pruning_report, read_front
from committee.pipeline.shared.splits import rows_in_words
from committee.pipeline.shared.summary import Summary
from committee.pipeline.stages.base import Names, Stage, Verbs
from committee.recipe.model import Pruning as Section
from committee.recipe.model import Recipe
from committee.store.commit import write_json
from committee.store.layout import Store


class Pruning(Stage):
    """Choose the members to keep, within budgets of latency and size.

    Each method follows a path, a subset of the members for each size. The score of a path is cross-fitted:
    the subset that predicts a row was chosen without it. The chosen members become the ensemble
    pruned_METHOD. Costs are measured: the median latency for one image per call, and the size of the weights.

    See Also
    --------
    committee.combiners.pruned.Pruned : The choice as a combiner.
    committee.pruning : The methods.

    Examples
    --------
    >>> from committee.pipeline.stages.pruning import Pruning
    >>> from committee.recipe.load import load_recipe
    >>> Pruning().names(load_recipe(None, ["pruning.methods=[greedy_forward]"])).ensembles
    ('pruned_greedy_forward',)
    """

    sections = ("pruning",)
    order = 70
    verbs: ClassVar[Verbs] = {
        "prune": {
            "--method": {
                "action": "append",
                "metavar": "NAME",
                "help": "prune by this method in place of the recipe's; may be repeated",
                "sets": "pruning.methods",
                "enables": "pruning.enable",
            },
            "--target-size": {
                "type": "int",
                "metavar": "K",
                "help": "members to keep (default: as many as score best)",
                "sets": "pruning.target_size",
            },
            "--max-latency-ms": {
                "type": "float",
                "metavar": "MS",
                "help": "largest latency of one image, in milliseconds",
                "sets": "pruning.cost_budget.max_latency_ms",
            },
            "--max-size-mb": {
                "type": "float",
                "metavar": "MB",
                "help": "largest size of the weights, in megabytes",
                "sets": "pruning.cost_budget.max_size_mb",
            },
        }
    }
    debug = "prune"
    todo = "Add the section to the recipe, or name a method: --method greedy_forward"

    def names(self, recipe: Recipe) -> Names:
        """Return the names of the pruned ensembles."""
        return Names(ensembles=tuple(str(each["name"]) for each in methods_of(self.section(recipe))))

    def plan(self, recipe: Recipe, store: Store) -> Summary:
        """Return the candidates of each method; nothing is timed."""
        recipe = for_store(recipe, store)
        names = self.names(recipe).ensembles
        context = gather(recipe, store, look_through(store))
        members, n = list(context.predictions.members), len(context.predictions)
        facts = {"ensembles": list(names), "members": members, "rows": context.rows, "n": n}
        text = (
            f"The members of {', '.join(names)} would be chosen on "
            f"{rows_in_words(context.predictions, context.rows)}; each network would be timed."
        )
        return Summary(facts, [text])

    def run(self, recipe: Recipe, store: Store) -> Outcome:
        """Prune by each method.

        Returns
        -------
        Outcome
            The ensembles, and the methods that failed, including those whose budget no subset meets. The
            Pareto front of all evaluated subsets is in `metrics/pruning.json` of the store.

        Raises
        ------
        UsageError
            The recipe does not enable the section.
        StoreError
            The store has no members, or some have no predictions on which subsets are scored.
        """
        recipe = for_store(recipe, store)
        section = self.section(recipe)
        require_store(store)
        outcome = Outcome()
        with store.hold():
            catalog = discover(store)
            methods = methods_of(section)
            set_aside(catalog, outcome, needed=MEMBERS, renewed=[str(each["name"]) for each in methods])
            context = gather(recipe, store, catalog)
            build_all(methods, context, outcome)
            if outcome.done:
                _write_front(outcome.done, section, context)
        return outcome

    def report(self, outcome: Outcome, store: Store) -> Summary:
        """Return the path and choice of each method, and the Pareto front."""
        return pruning_report(outcome, store)


def methods_of(section: Section) -> list[Method]:
    """Return the methods that build the pruned ensembles."""
    budget = section.cost_budget
    shared = {
        "metric": section.metric,
        "inner": section.inner,
        "measure": section.measure,
        "floor": section.floor,
        "target_size": section.target_size,
        "max_latency_ms": budget.max_latency_ms,
        "max_size_mb": budget.max_size_mb,
    }
    return [
        {"combiner": "pruned", "name": f"pruned_{method}", "method": method, **shared}
        for method in dict.fromkeys(section.methods)
    ]


def _write_front(names: Sequence[str], section: Section, context: BuildContext) -> None:
    report = {
        "metric": section.metric,
        "rows": context.rows,
        "costs": context.costs,
        "methods": list(names),
        "front": read_front(context.store, names),
    }
    path = context.store.pruning_report()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, report)
