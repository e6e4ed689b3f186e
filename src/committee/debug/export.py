"""Export: one model in the formats of the recipe, each compared with the model."""

from __future__ import annotations

from committee.debug._bench import Bench, require_done
from committee.debug.base import Section, tell
from committee.pipeline.stages.export import export


class Export(Section):
    """Write one package: of the first ensemble, or else of the first member."""

    def plan(self, bench: Bench) -> str:
        return f"write {', '.join(bench.recipe.exports.formats)} of one model, and compare each with it"

    def run(self, bench: Bench) -> str:
        bench.trained()
        name = (*bench.scratch.ensembles(), *bench.scratch.members())[0]
        require_done(export(bench.recipe, bench.scratch, [name]))
        for path in sorted(bench.scratch.deploy(name).rglob("*")):
            if path.is_file():
                tell(name, path=path, bytes=path.stat().st_size)
        return f"packaged {name}"
