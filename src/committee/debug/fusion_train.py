"""Fusion-train: the heads of the recipe, on the members' embeddings."""

from __future__ import annotations

from committee.debug._bench import Bench, require_done
from committee.debug.base import Section, tell
from committee.pipeline.shared.records import provenance
from committee.pipeline.stages.fusion import fusion_train, names_of
from committee.recipe.runs import Fusion

EPOCHS = 2
"""With --fast."""


class FusionTrain(Section):
    """Train and cross-fit each head; concat_mlp where the recipe has no fusion."""

    def plan(self, bench: Bench) -> str:
        return f"train {', '.join(names_of(_section(bench)))}"

    def run(self, bench: Bench) -> str:
        bench.trained()
        runs = bench.recipe.runs.model_copy(update={"fusion": _section(bench)})
        outcome = fusion_train(bench.recipe.model_copy(update={"runs": runs}), bench.scratch)
        require_done(outcome)
        for name in outcome.done:
            tell(name, summary=provenance(bench.scratch, name)["summary"], path=bench.scratch.kfold(name))
        return f"trained {', '.join(outcome.done)}"


def _section(bench: Bench) -> Fusion:
    section = bench.recipe.runs.fusion or Fusion()
    config = section.fusion_config.model_copy(update={"epochs": EPOCHS} if bench.fast else {})
    return section.model_copy(update={"enable": True, "fusion_config": config})
