"""Discover: what is whole in the store, and what is left out."""

from __future__ import annotations

from committee.debug._bench import Bench
from committee.debug.base import Section, tell
from committee.pipeline.discover import discover


class Discover(Section):
    """Verify all checksums, and list members, ensembles and what is damaged."""

    order = 15

    def plan(self, bench: Bench) -> str:
        return f"verify the checksums of {'a scratch store' if bench.fast else bench.store.root}"

    def run(self, bench: Bench) -> str:
        bench.trained()
        catalog = discover(bench.scratch)
        for kind in ("members", "ensembles"):
            for entry in catalog[kind]:
                tell(kind, **entry)
        for entry in catalog["left_out"]:
            tell("left out", **entry)
        counts = [f"{len(catalog[kind])} {kind}" for kind in ("members", "ensembles", "packages")]
        return f"{', '.join(counts)}, {len(catalog['left_out'])} left out"
