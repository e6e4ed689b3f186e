"""K-fold: cross-fit and refit of each member, with out-of-fold predictions."""

from __future__ import annotations

from committee.debug._bench import Bench, names_of, require_done
from committee.debug.base import Section, statistics, tell
from committee.pipeline.stages.train import train
from committee.predictions.table import Predictions


class Kfold(Section):
    """Every fit that `committee train` would make, in the scratch store."""

    def plan(self, bench: Bench) -> str:
        training = bench.recipe.training
        return f"{training.folds} folds and a refit of {names_of(bench.recipe)}, {training.epochs} epochs"

    def run(self, bench: Bench) -> str:
        outcome = train(bench.recipe, bench.scratch)
        require_done(outcome)
        for name in outcome.done:
            for folder in sorted(bench.scratch.kfold(name).iterdir()):
                tell(name, predictions=folder, logits=statistics(Predictions.load(folder).logits))
        return f"trained {', '.join(outcome.done)}"
