"""Extract-embeddings: what each network of the members makes of all rows, into files."""

from __future__ import annotations

import numpy as np

from committee.debug._bench import Bench, names_of
from committee.debug.base import Section, statistics, tell
from committee.pipeline.discover import look_through
from committee.pipeline.shared.derived_members import open_bench
from committee.pipeline.stages.fusion import extracted, fused_members


class ExtractEmbeddings(Section):
    """Extract the embeddings of each member, as `committee fusion-train` does first."""

    order = 25

    def plan(self, bench: Bench) -> str:
        return f"extract embeddings of {names_of(bench.recipe)}"

    def run(self, bench: Bench) -> str:
        bench.trained()
        catalog = look_through(bench.scratch)
        members = fused_members(bench.recipe, bench.scratch, catalog)
        made = []
        with extracted(open_bench(bench.recipe, bench.scratch, catalog), members) as places:
            for name, place in places.items():
                files = sorted(place.rglob("*.npy"))
                for file in files:
                    tell(name, file=file, values=statistics(np.load(file, mmap_mode="r")))
                made.append(f"{name} ({len(files)} files)")
        return f"extracted {', '.join(made)}"
