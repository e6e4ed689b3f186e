"""Build ensemble: every method of the recipe, on stored predictions."""

from __future__ import annotations

from committee.debug._bench import Bench, require_done
from committee.debug.base import Section, tell
from committee.pipeline.shared.choose import choose_methods, full_name
from committee.pipeline.shared.records import ensemble_facts
from committee.pipeline.stages.score_ensemble import build


class BuildEnsemble(Section):
    """Fit, cross-fit and save each ensemble."""

    def plan(self, bench: Bench) -> str:
        return f"build {', '.join(full_name(method) for method in choose_methods(bench.recipe))}"

    def run(self, bench: Bench) -> str:
        bench.trained()
        outcome = build(bench.recipe, bench.scratch)
        require_done(outcome)
        for name in outcome.done:
            facts = ensemble_facts(bench.scratch, name)
            tell(name, members=facts["members"], weights=facts["weights"], path=bench.scratch.ensemble(name))
        return f"built {', '.join(outcome.done)}"
