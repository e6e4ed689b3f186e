"""The debug section that verifies a store."""

from __future__ import annotations

from committee.debug.base import Section, log_facts
from committee.debug.shared.bench import Bench
from committee.pipeline.discover import discover


class Discover(Section):
    """Verify all checksums, and list the members, the ensembles and the damaged parts.

    See Also
    --------
    committee.pipeline.discover.discover : The function that it runs.

    Examples
    --------
    >>> from pathlib import Path
    >>> from committee.debug.shared.bench import Bench
    >>> from committee.debug.discover import Discover
    >>> from committee.recipe.load import load_recipe
    >>> from committee.store.layout import Store
    >>> bench = Bench(Store(Path("store")), Store(Path("scratch")), load_recipe(None), fast=False)
    >>> Discover().plan(bench)
    'verify the checksums of store'
    """

    order = 15

    def plan(self, bench: Bench) -> str:
        return f"verify the checksums of {'a scratch store' if bench.fast else bench.store}"

    def run(self, bench: Bench) -> str:
        bench.require_members()
        catalog = discover(bench.scratch)
        for kind in ("members", "ensembles"):
            for entry in catalog[kind]:
                log_facts(kind, **entry)
        for entry in catalog["left_out"]:
            log_facts("left out", **entry)
        counts = [f"{len(catalog[kind])} {kind}" for kind in ("members", "ensembles", "packages")]
        return f"{', '.join(counts)}, {len(catalog['left_out'])} left out"
