"""The models whose networks predict several views, and the method that combines the views."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from committee.combiners.base import build as build_combiner
from committee.errors import CommitteeError, StoreError, UsageError, first_five
from committee.pipeline.discover import Catalog
from committee.pipeline.shared.build import gather
from committee.pipeline.shared.choose import Method
from committee.pipeline.shared.functions import check_functions
from committee.pipeline.shared.records import REBUILD, ensemble_facts
from committee.pipeline.shared.sets import voting
from committee.recipe.model import Recipe
from committee.solvers.cross_fit import uncalibrated
from committee.store.layout import Store
from committee.tasks.base import Task, task_of


@dataclass(frozen=True)
class ViewedModel:
    """A model whose networks predict several views.

    Attributes
    ----------
    name : str
        Name of the ensemble of views.
    of : str
        Full name of the model.
    members : tuple of str
        The members of the store that the model is fitted on.
    combiner : dict or None
        The method of an ensemble, without the calibration of its output; None for a member.
    """

    name: str
    of: str
    members: tuple[str, ...]
    combiner: Method | None

    def method(self, views: Iterable[str], weights: str, recipe: Recipe, task: Task) -> Method:
        """Return the method of the ensemble: pools of views, combined by the model's own combiner.

        Without a proven gain of the views, it is the model without them.

        Parameters
        ----------
        views : iterable of str
            Names of the views.
        weights : str
            Weights of the views of one network: `mean` or `learned`.
        recipe : Recipe
        task : Task
        """
        learned: Method = {"combiner": "weighted", "metric": task.objectives[0]}
        pool: Method = learned if weights == "learned" else {"combiner": "soft_voting"}
        pools: dict[str, Method] = {
            name: {
                "combiner": "subset",
                "members": [name, *viewed_names(name, views)],
                "inner": pool,
            }
            for name in self.members
        }
        plain: Method = {"combiner": "subset", "members": list(self.members)}
        if self.combiner is None:
            inner: Method = pools[self.of]
        else:
            inner = {"combiner": "compose", "inputs": pools, "final": self.combiner, "seed": recipe.seed}
            plain["inner"] = self.combiner
        return {
            "combiner": "fallback",
            "name": self.name,
            "inner": inner,
            "fallback": plain,
            "calibrate": recipe.runs.score_ensemble.calibrate != "none",
            "seed": recipe.seed,
        }


def viewed_names(member: str, views: Iterable[str]) -> list[str]:
    """Return the names of a member under views."""
    return [f"{member}_{view}" for view in views]


def ensemble_name(of: str) -> str:
    """Return the name of the ensemble of views of a model, by its full or short name."""
    return f"tta_{of.removesuffix('_ensemble')}"


def viewed_models(
    of: str | Sequence[str], recipe: Recipe, store: Store, catalog: Catalog
) -> tuple[list[ViewedModel], dict[str, CommitteeError]]:
    """Return the models that `tta.of` names, and the errors of those that cannot have views, by their names.

    Raises
    ------
    StoreError
        The store has no members, or none of the models.
    """
    given = [_best(recipe, store, catalog)] if isinstance(of, str) else list(dict.fromkeys(of))
    entries = {str(entry["name"]): entry for entry in catalog["members"]}
    found: dict[str, ViewedModel] = {}
    missing: dict[str, CommitteeError] = {}
    for name in given:
        try:
            model = _model(name, store, recipe)
            _check(model, entries)
            gather(recipe, store, catalog, model.members)  # raises if there are no rows to fit on
        except CommitteeError as error:
            missing[name] = error
        else:
            found.setdefault(model.of, model)
    if not found:
        if len(missing) == 1:
            raise next(iter(missing.values()))
        raise StoreError(
            "tta.of",
            expected=f"at least one of the models {first_five(given)} in the store",
            got="none",
            todo=f"{REBUILD} RECIPE, or name others: --of NAME",
        )
    return list(found.values()), missing


def _model(name: str, store: Store, recipe: Recipe) -> ViewedModel:
    full = store.resolve(name)
    if full not in store.ensembles():
        return ViewedModel(ensemble_name(name), full, (full,), None)
    facts = ensemble_facts(store, full)
    rule = uncalibrated(build_combiner(dict(facts["spec"])))
    method = {"combiner": rule.key, **rule.options()}
    check_functions(method, recipe, full)
    return ViewedModel(ensemble_name(name), full, tuple(facts["candidates"]), method)


def _check(model: ViewedModel, entries: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise an error if a member of a model is damaged or unfinished, or is a view already."""
    absent = [name for name in model.members if name not in entries]
    if absent:
        raise StoreError(
            model.of,
            expected="all of its members in the store",
            got=f"no undamaged {first_five(absent)}",
            todo="Run: committee train RECIPE",
        )
    inside = [name for name in model.members if "view" in entries[name]]
    if inside:
        raise UsageError(
            model.of,
            expected="a model without test-time views",
            got=f"one with {first_five(inside)}",
            todo="Name the model that the views are of: --of NAME",
        )


def _best(recipe: Recipe, store: Store, catalog: Catalog) -> str:
    """Return the ensemble without views, or else the member, with the best cross-fitted log-loss, or RMSE.

    It is the default objective of the task that counts.
    """
    rows = gather(recipe, store, catalog).predictions
    task = task_of(rows)
    metric = task.metric(task.objectives[0])
    views = {str(entry["name"]) for entry in catalog["members"] if "view" in entry}
    scores: dict[str, float] = {}
    for name in (str(entry["name"]) for entry in catalog["ensembles"]):
        facts: Mapping[str, Any] = ensemble_facts(store, name)
        if views.isdisjoint(facts["candidates"]):
            scores[name] = facts["scores"]["cross_fitted"][metric.name]["value"]
    if not scores:
        labels = rows.require_labels("tta")
        for member in rows.members:
            outputs = voting(task).combine(rows.select([member]).logits)
            scores[member] = task.evaluate(outputs, labels, [metric.name])[metric.name]
    return max(sorted(scores), key=lambda name: metric.sign * scores[name])
