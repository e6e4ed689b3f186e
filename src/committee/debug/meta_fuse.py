"""Meta-fuse: the learner of the recipe, on the outputs of ensembles."""

from __future__ import annotations

from committee.debug._bench import Bench, require_done
from committee.debug.base import Section, tell
from committee.pipeline.shared.records import ensemble_facts
from committee.pipeline.stages.meta_fuser import meta_fuse
from committee.pipeline.stages.score_ensemble import build
from committee.recipe.model import Recipe
from committee.recipe.runs import MetaFuser

TWO = ("soft_voting", "logit_averaging")


class MetaFuse(Section):
    """Build the ensembles that the fuser reads and the store lacks, then the fuser."""

    def plan(self, bench: Bench) -> str:
        fuser = _section(bench)
        return f"fuse {', '.join(fuser.input_ensembles)} by {fuser.fuser_type}"

    def run(self, bench: Bench) -> str:
        bench.trained()
        fuser = _section(bench)
        if bench.fast:
            require_done(build(bench.recipe, bench.scratch, TWO))
        outcome = meta_fuse(_with(bench.recipe, fuser), bench.scratch)
        require_done(outcome)
        facts = ensemble_facts(bench.scratch, fuser.name)
        tell(fuser.name, inputs=list(facts["notes"]["inputs"]), members=facts["members"])
        return f"fused {', '.join(facts['notes']['inputs'])} into {fuser.name}"


def _section(bench: Bench) -> MetaFuser:
    """Return the recipe's section; with `--fast` it reads two ensembles that are quickly built."""
    fuser = bench.recipe.runs.meta_fuser or MetaFuser()
    return fuser.model_copy(update={"input_ensembles": list(TWO)}) if bench.fast else fuser


def _with(recipe: Recipe, fuser: MetaFuser) -> Recipe:
    return recipe.model_copy(update={"runs": recipe.runs.model_copy(update={"meta_fuser": fuser})})
