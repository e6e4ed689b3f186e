"""The stage that evaluates members and ensembles, the only one that reads the test split."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from operator import itemgetter
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from committee._version import __version__
from committee.base.devices import resolve as resolve_device
from committee.base.progress import track
from committee.combiners.base import Combiner, is_conditional
from committee.combiners.base import load as load_combiner
from committee.errors import StoreError
from committee.images.dataset import open_dataset
from committee.images.record import load_record
from committee.pipeline.discover import MEMBERS, Catalog, discover, look_through, require_store, set_aside
from committee.pipeline.shared.choose import choose_all, choose_deployed
from committee.pipeline.shared.combined import combined, distribution
from committee.pipeline.shared.conditional import latencies, savings
from committee.pipeline.shared.costs import EAGER, Costs
from committee.pipeline.shared.distilled import comparison_inputs, comparison_report
from committee.pipeline.shared.draws import read_draws, write_draws
from committee.pipeline.shared.engines import add_engine, engine_files
from committee.pipeline.shared.kept import digest_of_files, is_kept
from committee.pipeline.shared.map_scores import MapsOfMembers, Scored, score_maps
from committee.pipeline.shared.network_files import has_latency_budget
from committee.pipeline.shared.outcome import Outcome
from committee.pipeline.shared.records import (
    INFERENCE,
    METRICS,
    REBUILD,
    common_inference,
    ensemble_facts,
    inference_of,
    metrics_folder,
    model_source,
    provenance,
)
from committee.pipeline.shared.sets import mean_of_members, member_table, on_test, voting
from committee.pipeline.shared.splits import fitting_rows, has_split, split_rows
from committee.pipeline.shared.summary import Summary, Table
from committee.pipeline.shared.together import together
from committee.pipeline.stages.base import Names, Stage, Verbs
from committee.predictions.table import Predictions
from committee.predictions.target_types import CLASSES
from committee.recipe.model import Recipe
from committee.scoring.baselines import Baselines
from committee.scoring.distributions import with_variances
from committee.scoring.draws import Draws
from committee.scoring.scores import folds_of
from committee.store.commit import commit, remove, write_json
from committee.store.layout import Store
from committee.store.manifest import digest
from committee.tasks.base import task_for, task_of

log = logging.getLogger(__name__)

Report = dict[str, Any]
NO_TEST: Report = {"per_class": [], "absent_classes": [], "mistakes": [], "confusion": [], "sets": None}
"""What a report has of models without test predictions."""


class Evaluate(Stage):
    """Evaluate members and ensembles of a store on the test split.

    Each gets a metrics.json with metrics and intervals, cross-fitted scores and gains, results per class,
    the confusion matrix, latency and size, the contribution of each member, and the samples on which the
    members disagree most. A report that was made from the same networks and predictions, on the same
    machine, is kept. No other verb reads the test split.

    Parameters
    ----------
    batch : int
        Images per call in the measurement of latency.

    See Also
    --------
    committee.metrics : The metrics.

    Examples
    --------
    >>> from committee.pipeline.stages.evaluate import Evaluate
    >>> Evaluate(batch=8).batch
    8
    """

    sections = ()
    order = 90
    verbs: ClassVar[Verbs] = {
        "evaluate": {
            "--batch": {
                "type": "int",
                "default": 1,
                "metavar": "N",
                "help": "images per call in the measurement of latency (default: 1)",
            }
        }
    }
    debug = "evaluate"
    shows = "leaderboard"

    def __init__(self, batch: int = 1) -> None:
        self.batch = batch

    def names(self, recipe: Recipe) -> Names:
        """Return no names: nothing new is made."""
        return Names()

    def plan(self, recipe: Recipe, store: Store) -> Summary:
        """Return the members and ensembles that would be evaluated."""
        catalog = look_through(store)
        facts = {
            "members": choose_all(recipe, catalog["members"], store),
            "ensembles": [str(entry["name"]) for entry in catalog["ensembles"]],
        }
        rows = [[kind.removesuffix("s"), name] for kind, names in facts.items() for name in names]
        return Summary(facts, [Table("Models that would be evaluated and timed", ["kind", "name"], rows)])

    def run(self, recipe: Recipe, store: Store) -> Outcome:
        """Evaluate the members that the recipe names, and all ensembles of the store.

        Raises
        ------
        StoreError
            The store does not exist or is not writable.
        """
        outcome = Outcome()
        require_store(store)
        with store.hold():
            evaluator = _Evaluator(recipe, store, discover(store), self.batch)
            evaluator.time_networks()
            set_aside(evaluator.catalog, outcome, needed=(*MEMBERS, "ensembles"))
            for name in track(evaluator.members, what="members", name=str):
                with outcome.attempt(name):
                    if not evaluator.is_kept(name):
                        _write(evaluator, *evaluator.member(name))
            for entry in track(evaluator.catalog["ensembles"], what="ensembles", name=itemgetter("name")):
                with outcome.attempt(name := entry["name"]):
                    if not evaluator.is_kept(name):
                        _write(evaluator, *evaluator.ensemble(name))
        return outcome


class _Evaluator:
    """The reports of the models of one store, which share measured costs."""

    def __init__(self, recipe: Recipe, store: Store, catalog: Catalog, batch: int) -> None:
        self.store, self.catalog = store, catalog
        self.entries = {entry["name"]: entry for entry in catalog["members"]}
        self.members = choose_all(recipe, catalog["members"], store)
        self.deployed = choose_deployed(recipe, catalog["members"], self.members)
        device, trusted = resolve_device(recipe.device), recipe.trusted_backbones()
        self.costs = Costs(store, batch, device, trusted, has_latency_budget(recipe))
        self.seed = recipe.seed
        record = load_record(store)
        self.task = task_for(record.kind if record else CLASSES)
        self.data = {key: len(getattr(record, key, ())) for key in ("quarantined", "copies")}

    def time_networks(self) -> None:
        """Time the networks of all models whose reports are made again in turns, as one measurement."""
        models = {name: {name: self.deployed[name]} for name in self.members}
        models |= {entry["name"]: entry["inference"] for entry in self.catalog["ensembles"]}
        with contextlib.suppress(StoreError):  # the report of that model fails, and says why
            self.costs.measure([models[name] for name in models if not self.is_kept(name)])

    @cached_property
    def maps(self) -> dict[str, Report]:
        """The reports on whole images of all models that are evaluated again; empty without maps."""
        if not self.task.target_type.dense:
            return {}
        dataset = open_dataset(None, self.store, folds=0, seed=self.seed)
        source = MapsOfMembers(self.store, dataset, "test", self.costs.device, self.costs.trusted)
        models: dict[str, Scored] = {}
        for name in [*self.members, *(entry["name"] for entry in self.catalog["ensembles"])]:
            if not self.is_kept(name):
                with contextlib.suppress(StoreError):  # the report of that model fails, and says why
                    models[name] = source.checked(self._scored(name))
        return score_maps(models, source, self.seed)

    def _scored(self, name: str) -> Scored:
        if name in self.members:
            return Scored(voting(self.task), {name: self.deployed[name]})
        record = ensemble_facts(self.store, name)
        deployed = {each: record["inference"][each] for each in record["members"]}
        return Scored(load_combiner(self.store.ensemble(name)), deployed)

    def is_kept(self, name: str) -> bool:
        """Return whether the report of a model is up to date."""
        return is_kept(metrics_folder(self.store, name), self.made_from(name))

    def made_from(self, name: str) -> str:
        """Return the digest of everything that determines a report, with the machine that is timed."""
        if name in self.entries:
            involved = [name, *self.entries[name].get("of", [])]
        else:
            involved = list(ensemble_facts(self.store, name)["candidates"])
        stored = [self.store.ensemble(name)]
        stored += [folder for each in involved for folder in self.store.kfold(each).glob("[!.]*")]
        return digest(
            {
                "source": model_source(self.store, name),
                "deployed": self.deployed.get(name),
                "files": digest_of_files(stored),
                "data": self.data,
                "compared": comparison_inputs(self.store, name),
                "seed": self.seed,
                "timed": self.costs.setting,
                "versions": [__version__, torch.__version__],
                **engine_files(self.store, name),
            }
        )

    def member(self, name: str) -> tuple[Report, Draws | None]:
        """Return the report of a member and the draws of its gains; `fit` is empty without a combiner."""
        deployed = {name: self.deployed[name]}
        entry = self.entries[name]
        gains, draws = self._gain(name)
        report = {
            "name": name,
            "kind": "member",
            "data": self.data,
            "inference": deployed[name],
            "backbone": entry["backbone"],
            "start": _start(entry),
            "seed": entry["seed"],
            "of": entry.get("of", []),
            "provenance": provenance(self.store, name),
            **self._on_test(
                name, voting(self.task), [name], deployed, member_table(self.store, name, deployed[name])
            ),
            **self._held_out(name, deployed),
            "fit": {},
            "gain": gains,
            **self._member_costs(name, deployed),
            **comparison_report(self.store, name, self.costs),
        }
        return report, draws

    def ensemble(self, name: str) -> tuple[Report, Draws]:
        """Return the report of an ensemble, with the scores of its record, and the draws of its gains."""
        record = ensemble_facts(self.store, name)
        combiner = load_combiner(self.store.ensemble(name))
        members, deployed, scores = record["members"], record["inference"], record["scores"]
        copied = (
            "method",
            "members",
            "rows",
            "calibrate",
            "calibration",
            "weights",
            "notes",
            "contributions",
            "disagreement",
        )
        report = {
            "name": name,
            "kind": "ensemble",
            "data": self.data,
            "inference": common_inference(deployed),
            **{key: record[key] for key in copied},
            **self._on_test(name, combiner, members, deployed, record["sets"], record),
            "cross_fitted": scores["cross_fitted"],
            "fit": scores["fit"],
            "gain": scores["gain"],
            "by_networks": self._by_networks(combiner, members),
            **self._costs(name, combiner, record),
        }
        return report, read_draws(self.store.ensemble(name), scores["gain"], REBUILD)

    def _by_networks(self, combiner: Combiner, members: Sequence[str]) -> dict[str, dict[str, float]]:
        """Return the test scores with the refit networks and with the fold networks, if both are stored.

        A combiner is fitted on outputs of single fold networks for held-out rows, which differ from both.
        """
        all_of = {inference: dict.fromkeys(members, inference) for inference in INFERENCE}
        if not all(has_split(self.store, members, "test", deployed) for deployed in all_of.values()):
            return {}
        return {inference: self._brief(combiner, members, deployed) for inference, deployed in all_of.items()}

    def _brief(
        self, combiner: Combiner, members: Sequence[str], deployed: Mapping[str, str]
    ) -> dict[str, float]:
        outputs, test = combined(self.store, combiner, members, "test", deployed)
        return task_of(test).summary(outputs, test.require_labels("evaluate"))

    def _gain(self, name: str) -> tuple[dict[str, Any], Draws | None]:
        """Return the gains of a derived member over the best of its sources; none for other members."""
        of = [each for each in self.entries[name].get("of", []) if each in self.entries]
        if not of or any("oof" not in self.entries[each]["predictions"] for each in (name, *of)):
            return {}, None
        deployed = {each: inference_of(self.entries[each]) for each in (name, *of)}
        rows = fitting_rows(self.store, [name, *of], deployed)[0]
        outputs = mean_of_members(rows.select([name]))
        gains, draws = Baselines(rows.select(of), folds_of(rows, None, self.seed), self.seed).gains(outputs)
        return {metric: gain.to_json() for metric, gain in gains.items()}, draws

    def _member_costs(self, name: str, deployed: Mapping[str, str]) -> Report:
        """Return latency, size and parameters; of a conditional member, also the latency on real images."""
        costs = self.costs.of(deployed)
        if not self.entries[name].get("is_conditional"):
            return costs
        timed = latencies(self.store, name, self.costs.device, self.costs.trusted)
        usage = provenance(self.store, name)
        return {
            **costs,
            "conditional": {"used_members": usage["usage"], "saved": usage["saved"], "latency_ms": timed},
        }

    def _costs(self, name: str, combiner: Combiner, record: Report) -> Report:
        """Return latency, size and parameters; of a conditional combiner, also the latency on real images."""
        candidates = record["candidates"]
        if not is_conditional(combiner) or not has_split(self.store, candidates, "test", candidates):
            return self.costs.of(record["inference"], combiner)
        saved = savings(self.store, combiner, record)
        costs = self.costs.of(record["inference"], combiner, saved["used_members"])
        latency = costs["latency_ms"]
        timed = latencies(self.store, name, self.costs.device, self.costs.trusted)
        single = next((each for each in timed if each["batch"] == 1), None)
        if single is not None and self.costs.batch == 1 and latency["runtime"] == EAGER:
            found = {key: single[key] for key in ("mean", "median", "p95")}
            more = sum(latency["resizing"].values()) - sum(latency["network_sized"]["resizing"].values())
            del latency["expected"]  # what follows was measured
            latency["network_sized"] |= found
            latency |= {key: time + more for key, time in found.items()}
        return {**costs, "conditional": {**saved, "latency_ms": timed}}

    def _on_test(
        self,
        name: str,
        combiner: Combiner,
        members: Sequence[str],
        deployed: Mapping[str, str],
        sets: Mapping[str, Any] | None,
        record: Mapping[str, Any] | None = None,
    ) -> Report:
        """Return what the test split says about a model; `record` is that of an ensemble."""
        if not has_split(self.store, members, "test", deployed):
            return {"split": "test", "seen": 0, "n": 0, "metrics": {}, **NO_TEST}
        outputs, test = combined(self.store, combiner, members, "test", deployed)
        known = distribution(self.store, combiner, members, "test", deployed, outputs)
        labels, task = test.require_labels("evaluate"), task_of(test)
        seen = [split_rows(self.store, [name], "test", deployed).seen[0] for name in members]
        return {
            "split": "test",
            "n": len(labels),
            "seen": int(np.any(seen, axis=0).sum()),
            "metrics": self._intervals(known.outputs, test),
            **task.details(known.outputs, labels, test.class_names, groups=test.groups, seed=self.seed),
            **self.maps.get(name, {}),
            "sets": None if sets is None else on_test(sets, outputs, test, members[0], known.spread),
            **({} if record is None else together(self.store, record, outputs, test, self.seed)),
        }

    def _held_out(self, name: str, deployed: Mapping[str, str]) -> Report:
        try:
            held_out, rows = fitting_rows(self.store, [name], deployed)
        except StoreError as error:
            # A soup of folds, or one that was selected on the val split, has no held-out rows.
            log.log(logging.DEBUG if "of" in self.entries[name] else logging.WARNING, "%s", error)
            return {"rows": None, "cross_fitted": {}}
        return {
            "rows": rows,
            "cross_fitted": self._intervals(
                with_variances(mean_of_members(held_out), voting(self.task), held_out), held_out
            ),
        }

    def _intervals(self, outputs: NDArray[np.float32], rows: Predictions) -> dict[str, dict[str, float]]:
        labels = rows.require_labels("evaluate")
        found = task_of(rows).intervals(outputs, labels, groups=rows.groups, seed=self.seed)
        return {metric: asdict(interval) for metric, interval in found.items()}


def _start(entry: Mapping[str, Any]) -> str:
    return "adopted" if "adopted" in entry else "pretrained" if entry["pretrained"] else "random"


def _write(evaluator: _Evaluator, report: Report, draws: Draws | None) -> None:
    name, store, costs = report["name"], evaluator.store, evaluator.costs
    folder, source, made_from = (
        metrics_folder(store, name),
        model_source(store, name),
        evaluator.made_from(name),
    )
    add_engine(report, store, costs.device, costs.batch)
    with commit(folder, kind="metrics", fingerprint=source, made_from=made_from) as new:
        write_json(new / METRICS, report)
        if draws is not None:
            write_draws(new, draws)
    if (earlier := store.member_metrics(name)) != folder:
        remove(earlier)
