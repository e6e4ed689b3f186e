"""Stack: the learners of the recipe, on stored predictions."""

from __future__ import annotations

from committee.debug._bench import Bench, require_done
from committee.debug.base import Section, tell
from committee.pipeline.shared.choose import stack_names
from committee.pipeline.shared.records import ensemble_facts
from committee.pipeline.stages.score_ensemble import build


class Stack(Section):
    """Fit, cross-fit and save each stack; logistic regression where the recipe names no learner."""

    def plan(self, bench: Bench) -> str:
        return f"stack by {', '.join(_names(bench))}"

    def run(self, bench: Bench) -> str:
        bench.trained()
        outcome = build(bench.recipe, bench.scratch, _names(bench))
        require_done(outcome)
        for name in outcome.done:
            facts = ensemble_facts(bench.scratch, name)
            tell(name, rows=facts["n"], notes=facts["notes"], path=bench.scratch.ensemble(name))
        return f"stacked {', '.join(outcome.done)}"


def _names(bench: Bench) -> list[str]:
    stacking = bench.recipe.runs.stacking
    return stack_names(bench.recipe, () if stacking and stacking.enable else ("lr",))
