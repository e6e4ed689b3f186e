"""Prune: each method of the recipe, on stored predictions and measured costs."""

from __future__ import annotations

from committee.debug._bench import Bench, require_done
from committee.debug.base import Section, tell
from committee.pipeline.shared.records import ensemble_facts
from committee.pipeline.stages.pruning import prune
from committee.recipe.model import Pruning, Recipe


class Prune(Section):
    """Time the members, follow each path, and keep what it chooses."""

    def plan(self, bench: Bench) -> str:
        return f"prune by {', '.join(_section(bench).methods)}"

    def run(self, bench: Bench) -> str:
        bench.trained()
        outcome = prune(_with(bench.recipe, _section(bench)), bench.scratch)
        require_done(outcome)
        kept = []
        for name in outcome.done:
            notes = ensemble_facts(bench.scratch, name)["notes"]
            tell(name, path=[entry["size"] for entry in notes["path"]], chosen=notes["chosen"])
            kept.append(f"{name}: {', '.join(notes['chosen']['members'])}")
        return f"kept {'; '.join(kept)}"


def _section(bench: Bench) -> Pruning:
    return bench.recipe.pruning or Pruning()


def _with(recipe: Recipe, pruning: Pruning) -> Recipe:
    return recipe.model_copy(update={"pruning": pruning.model_copy(update={"enable": True})})
