"""The stage that builds ensembles of members under several views: test-time augmentation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from committee.errors import CommitteeError, StoreError, first_five
from committee.models.views.base import VIEWS, SingleView, distinct
from committee.pipeline.discover import MEMBERS, Catalog, discover, look_through, require_store, set_aside
from committee.pipeline.shared.build import build_all, gather
from committee.pipeline.shared.derived_members import open_context
from committee.pipeline.shared.fits import fit_plans
from committee.pipeline.shared.for_task import for_store, require_served, task_of_store
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.records import ensemble_facts
from committee.pipeline.shared.splits import rows_in_words
from committee.pipeline.shared.summary import Summary, Table, interval
from committee.pipeline.shared.views import ViewedModel, ensemble_name, viewed_models, viewed_names
from committee.pipeline.stages.base import Names, Stage, Verbs, enabled
from committee.recipe.model import Recipe
from committee.recipe.views import ViewSet
from committee.store.layout import Store
from committee.tasks.base import task_of
from committee.training.plans.view import ViewPlan


class Tta(Stage):
    """Combine several views of each image (test-time augmentation).

    Each network of a model predicts each view: the image, its mirror image, ... Every view is stored as a
    member that shares the weights of the network, so it is predicted once. The outputs for the views of
    each network are pooled, and the pools are combined by the model's own combiner, which is fitted again.
    The result is the ensemble tta_<model>, which is evaluated, exported and combined like any other. If the
    views are not proven better than the model without them, the ensemble leaves them out and says so.

    See Also
    --------
    committee.models.views : The views.
    committee.combiners.fallback.Fallback : Decides whether the views are used.

    References
    ----------
    D. Shanmugam, D. Blalock, G. Balakrishnan, J. Guttag, "Better aggregation in test-time augmentation", 2021
    (arXiv 2011.11156).

    Examples
    --------
    >>> from committee.pipeline.stages.tta import Tta
    >>> from committee.recipe.load import load_recipe
    >>> Tta().names(load_recipe(None, ["tta.of=[soft_voting]"])).ensembles
    ('tta_soft_voting',)
    """

    sections = ("tta",)
    order = 75
    optional = True
    verbs: ClassVar[Verbs] = {
        "tta": {
            "--of": {
                "metavar": "A,B",
                "help": "members and ensembles whose networks predict several views (default: tta.of)",
                "sets": "tta.of",
                "many": True,
                "enables": "tta.enable",
            },
            "--views": {
                "metavar": "A,B",
                "help": "sets of views, such as hflip,shift (default: tta.views of the recipe)",
                "sets": "tta.views",
                "many": True,
                "enables": "tta.enable",
            },
            "--weights": {
                "metavar": "HOW",
                "help": "weights of the views: mean or learned (default: tta.weights of the recipe)",
                "sets": "tta.weights",
                "enables": "tta.enable",
            },
        }
    }
    debug = "tta"
    todo = "Add the section to the recipe, or name sets of views: --views hflip"

    def names(self, recipe: Recipe) -> Names:
        """Return the names of the ensembles that the section names.

        Raises
        ------
        UsageError
            A set of views refuses the value of an option.
        """
        section = self.section(recipe)
        _views(section)
        of = [] if section.of == "best" else section.of
        return Names(ensembles=tuple(dict.fromkeys(map(ensemble_name, of))))

    def sample(self, recipe: Recipe, fast: bool) -> Recipe:
        """Return the recipe with its views; a fast run has mirror images alone, of the best model."""
        small = {"views": [ViewSet(name="hflip")], "of": "best"} if fast else {}
        return enabled(recipe, self.sections[0], **small)

    def plan(self, recipe: Recipe, store: Store) -> Summary:
        """Return the views that would be predicted, and the ensembles that would be built."""
        section, catalog = self.section(recipe), look_through(store)
        views = _views(section)
        models, missing = viewed_models(section.of, recipe, store, catalog)
        members = _members(models)
        context = gather(recipe, store, catalog, members)
        rows = context.predictions
        stored = {str(entry["name"]) for entry in catalog["members"]}
        facts = {
            "ensembles": {model.name: model.of for model in models},
            "members": members,
            "views": list(views),
            "predicted": [
                name for each in members for name in viewed_names(each, views) if name not in stored
            ],
            "set_aside": {name: str(error) for name, error in missing.items()},
            "rows": context.rows,
            "n": len(rows),
        }
        pairs = [[model.name, model.of] for model in models]
        text = (
            f"Each network would predict the views {', '.join(views)}; those that are stored are kept. The "
            f"gain of the views would be measured on {rows_in_words(rows, context.rows)}."
        )
        table = Table("Ensembles of views that would be built", ["ensemble", "of"], pairs)
        return Summary(facts, [table, text, *(f"Without {name}: {error}" for name, error in missing.items())])

    def run(self, recipe: Recipe, store: Store) -> Outcome:
        """Predict the views, and build the ensembles.

        Returns
        -------
        Outcome
            The names of the ensembles, and the models that are missing, with their reasons.

        Raises
        ------
        UsageError
            The recipe does not enable the section, or a set of views refuses the value of an option.
        StoreError
            The store has no members, or none of the models.
        """
        require_served(self.sections[0], store)
        recipe, section = for_store(recipe, store), self.section(recipe)
        require_store(store)
        outcome, views = Outcome(), _views(section)
        if task_of_store(store).target_type.dense:
            for view in views.values():
                view.require_inverse()
        with store.hold():
            catalog = discover(store)
            set_aside(catalog, outcome, needed=MEMBERS, renewed=self.renewed(recipe))
            models, missing = viewed_models(section.of, recipe, store, catalog)
            for name, error in missing.items():
                outcome.fail(ensemble_name(name), error)
            failed = _predict(_members(models), views, recipe, store, catalog)
            catalog = discover(store)
            for model in models:
                try:
                    _require_views(model, views, failed)
                    context = gather(recipe, store, catalog, _all_names(model, views))
                except CommitteeError as error:
                    outcome.fail(model.name, error)
                else:
                    task = task_of(context.predictions)
                    build_all([model.method(views, section.weights, recipe, task)], context, outcome)
        return outcome

    def report(self, outcome: Outcome, store: Store) -> Summary:
        """Return the gain of the views over the same model without them, and whether they are used."""
        records = [ensemble_facts(store, name) for name in outcome.done]
        proof = task_of_store(store).proof
        gains = [f"gain in {metric.replace('log_loss', 'log-loss')}" for metric in proof]
        rows = [_row(each, proof) for each in records]
        table = Table(
            "Views, against the same model without them", ["name", "networks", *gains, "views"], rows
        )
        plain = super().report(outcome, store)
        return Summary(plain.facts, [table, *plain.blocks])


def _views(section: Any) -> dict[str, SingleView]:
    """Return the views of all sets by name, without the identity."""
    return distinct(VIEWS.make(str(each.name), **each.options) for each in section.views)


def _members(models: Sequence[ViewedModel]) -> list[str]:
    return list(dict.fromkeys(name for model in models for name in model.members))


def _all_names(model: ViewedModel, views: Iterable[str]) -> list[str]:
    views = list(views)
    return [name for member in model.members for name in (member, *viewed_names(member, views))]


def _predict(
    members: Sequence[str], views: Mapping[str, SingleView], recipe: Recipe, store: Store, catalog: Catalog
) -> dict[str, str]:
    """Predict and store the views of members; return the reasons of failures by the name of the view."""
    context, made = open_context(recipe, store, catalog, members), Outcome()
    plans = list[ViewPlan]()
    for member in members:
        for name, view in zip(viewed_names(member, views), views.values(), strict=True):
            if "view" in context.entries.get(name, {"view": name}):
                plans.append(ViewPlan(name, context.inputs([member]), view))
            else:
                made.fail(name, _other(name, member))
    fit_plans(plans, store, recipe.make_executor(), made)
    return made.missing


def _other(name: str, member: str) -> StoreError:
    return StoreError(
        name,
        expected=f"no other member with the name of a view of {member}",
        got="one",
        todo="Rename it with the key as: models: [{name: ..., as: ...}].",
    )


def _require_views(model: ViewedModel, views: Iterable[str], failed: Mapping[str, str]) -> None:
    """Raise StoreError if a view of one of the members could not be predicted."""
    missing = [name for name in _all_names(model, views) if name in failed]
    if missing:
        raise StoreError(
            model.name, expected="all views of its networks", got=f"none of {first_five(missing)}"
        )


def _row(record: Mapping[str, Any], proof: Sequence[str]) -> list[object]:
    notes = record["notes"]
    gains = [interval(notes["gains"][metric]) for metric in proof]
    used = "used" if notes["used"] == "inner" else "no proven gain: left out"
    return [record["name"], len(record["members"]), *gains, used]
