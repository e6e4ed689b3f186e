"""The stage that compares exported models under one clock, and names the file to deploy."""

from __future__ import annotations

from typing import Any, ClassVar

from committee.pipeline.comparing.candidates import candidates
from committee.pipeline.comparing.comparison import NOTHING, Comparison
from committee.pipeline.comparing.files import default_format
from committee.pipeline.comparing.kinds import kind_of
from committee.pipeline.comparing.plot import require_matplotlib
from committee.pipeline.comparing.table import comparison_table
from committee.pipeline.discover import require_store
from committee.pipeline.shared.for_task import check_least, require_served, task_of_store
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.reports import read_reports
from committee.pipeline.shared.summary import Summary, Table
from committee.pipeline.stages.base import STAGES, Names, Stage, Verbs, enabled
from committee.recipe.comparison import Comparison as Section
from committee.recipe.model import Recipe
from committee.store.layout import Store
from committee.untrusted.documents import read_json


class Compare(Stage):
    """Compare models as exported files, and name the best to deploy.

    The best model of each kind, such as the best single network, the weighted ensemble, a soup or a student,
    is exported where it has no package yet. Each file runs in processes of its own, in turns with the others,
    on images of the data set, and again if the times of the rounds differ. The table has scores on the test
    split with intervals, the number of independent networks that would score the same, latency, memory, size
    and the time of training. The last lines name the file to deploy within the budget, what it costs, and
    what is given up.

    See Also
    --------
    committee.models.timing.interleaved : The rounds of measurements.
    committee.scoring.deep_ensemble_equivalent : How many networks a model is worth.

    Examples
    --------
    >>> from committee.pipeline.stages.compare import Compare
    >>> from committee.recipe.load import load_recipe
    >>> Compare().is_wanted(load_recipe(None, ["compare.max_latency_ms=20"]))
    True
    """

    sections = ("compare",)
    order = 110
    optional = True
    verbs: ClassVar[Verbs] = {
        "compare": {
            "--model-name": {
                "action": "append",
                "metavar": "NAME",
                "help": "model to compare; may be repeated (default: the best of each kind)",
                "sets": "compare.models",
                "enables": "compare.enable",
            },
            "--format": {
                "metavar": "NAME",
                "help": "export format that is compared, or all: every file of the packages, each in its own "
                "runtime (default: onnx, or checkpoint without onnxruntime)",
                "sets": "compare.format",
                "enables": "compare.enable",
            },
            "--max-latency-ms": {
                "type": "float",
                "metavar": "MS",
                "help": "largest median latency for one image, in milliseconds",
                "sets": "compare.max_latency_ms",
                "enables": "compare.enable",
            },
            "--max-size-mb": {
                "type": "float",
                "metavar": "MB",
                "help": "largest size of the file, in megabytes",
                "sets": "compare.max_size_mb",
                "enables": "compare.enable",
            },
            "--min-accuracy": {
                "type": "float",
                "metavar": "SHARE",
                "help": "smallest cross-fitted accuracy, such as 0.9",
                "sets": "compare.min_accuracy",
                "enables": "compare.enable",
            },
            "--plot": {
                "metavar": "FILE.png",
                "help": "write a plot of accuracy and latency with the Pareto front",
                "sets": "compare.plot",
                "enables": "compare.enable",
            },
        }
    }
    debug = "compare"
    todo = "Add the section to the recipe, or set: --set compare.enable=true"

    def names(self, recipe: Recipe) -> Names:
        """Return no names: nothing new is made."""
        return Names()

    def plan(self, recipe: Recipe, store: Store) -> Summary:
        """Return the models that would be compared, as far as they are evaluated."""
        require_store(store)
        require_served(self.sections[0], store)
        settings = self._settings(recipe)
        check_least(settings, task_of_store(store))
        format = settings.format or default_format()
        if not settings.models and not read_reports(store):
            text = f"The best model of each kind would be compared in the format {format} once evaluated."
            return Summary({"models": [], "format": format}, [text])
        models = [(each["name"], kind_of(store, each)) for each in candidates(store, settings.models or ())]
        table = Table(f"Models that would be compared in the format {format}", ["name", "kind"], models)
        return Summary({"models": [name for name, _ in models], "format": format}, [table])

    def run(self, recipe: Recipe, store: Store) -> Outcome:
        """Export and measure the models; `metrics/comparison.json` of the store has the result.

        Returns
        -------
        Outcome
            `failed` has the models without a file, and `budget` if no file is within it.

        Raises
        ------
        StoreError
            No model is evaluated, or one of `compare.models` is not.
        UnknownNameError
            The store has no such model.
        UsageError
            The models predict numbers, and a smallest accuracy is asked for; or they predict maps.
        DependencyError
            A plot is asked for, and Matplotlib is not installed.
        """
        require_store(store)
        require_served(self.sections[0], store)
        settings = self._settings(recipe)
        check_least(settings, task_of_store(store))
        if settings.plot is not None:
            require_matplotlib()
        with store.hold():
            return Comparison(recipe, store, settings, candidates(store, settings.models or ())).run()

    def rehearse(self, recipe: Recipe, store: Store) -> Outcome:
        """Evaluate one member, and compare it with itself alone."""
        name = store.members()[0]
        STAGES.make("evaluate").run(recipe, store)
        return self.run(enabled(recipe, "compare", models=[name]), store)

    def report(self, outcome: Outcome, store: Store) -> Summary:
        """Return the table of the comparison, and which file to deploy."""
        if NOTHING in outcome.failed:
            return Summary()
        facts = read_json(store.comparison_report(), "a comparison", "Run: committee compare")
        return Summary({"comparison": facts}, comparison_table(facts))

    def _settings(self, recipe: Recipe) -> Any:
        """Return the section, with the budget of `pruning` where it has none."""
        found = recipe.compare or Section()
        limits = recipe.pruning.cost_budget.model_dump() if recipe.pruning is not None else {}
        missing = {key: limit for key, limit in limits.items() if getattr(found, key) is None}
        return found.model_copy(update=missing)
