"""Debug sections that run a stage of the pipeline."""

from __future__ import annotations

from committee.debug.base import Section, log_facts, statistics
from committee.debug.shared.bench import Bench, require_done
from committee.pipeline.shared.records import ensemble_facts, provenance
from committee.pipeline.stages.base import Stage
from committee.predictions.table import Predictions
from committee.store.layout import Store


class OfStage(Section):
    """Run one stage in the scratch store.

    Parameters
    ----------
    stage : Stage

    See Also
    --------
    committee.pipeline.stages.base.Stage.rehearse : Runs the stage in a section.

    Examples
    --------
    >>> from pathlib import Path
    >>> from committee.debug.shared.bench import Bench
    >>> from committee.debug.shared.of_stage import OfStage
    >>> from committee.pipeline.stages.base import STAGES
    >>> from committee.recipe.load import load_recipe
    >>> from committee.store.layout import Store
    >>> bench = Bench(Store(Path("store")), Store(Path("scratch")), load_recipe(None), fast=True)
    >>> OfStage(STAGES.make("stacking")).plan(bench)
    'run the stage stacking: stacking_lr'
    """

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def plan(self, bench: Bench) -> str:
        """Return the name of the stage and the names of what it would make."""
        names = self.stage.names(self.stage.sample(bench.recipe, bench.fast))
        listed = ", ".join((*names.members, *names.ensembles, *names.formats))
        return f"run the stage {self.stage.key}{f': {listed}' if listed else ''}"

    def run(self, bench: Bench) -> str:
        """Run the stage, and log facts of what it made."""
        if not self.stage.required:
            bench.require_members()
        outcome = self.stage.rehearse(self.stage.sample(bench.recipe, bench.fast), bench.scratch)
        require_done(outcome)
        for name in outcome.done:
            _describe(bench.scratch, name)
        return f"done: {', '.join(outcome.done)}"


def _describe(store: Store, name: str) -> None:
    """Log the record of an ensemble or the predictions of a member, and the files of its package."""
    if name in store.ensembles():
        facts = ensemble_facts(store, name)
        log_facts(
            name, members=facts["members"], weights=facts["weights"], rows=facts["n"], notes=facts["notes"]
        )
        log_facts(name, path=store.ensemble(name))
    else:
        log_facts(name, summary=provenance(store, name).get("summary", "trained"), path=store.kfold(name))
        for folder in sorted(store.kfold(name).iterdir()):
            log_facts(name, predictions=folder, logits=statistics(Predictions.load(folder).logits))
    for path in sorted(store.deploy(name).rglob("*")):
        if path.is_file():
            log_facts(name, path=path, bytes=path.stat().st_size)
