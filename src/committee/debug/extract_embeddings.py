"""The debug section that extracts embeddings."""

from __future__ import annotations

import numpy as np

from committee.debug.base import Section, log_facts, statistics
from committee.debug.shared.bench import Bench, names_of
from committee.pipeline.discover import look_through
from committee.pipeline.shared.derived_members import open_context
from committee.pipeline.stages.fusion import extracted, fused_members


class ExtractEmbeddings(Section):
    """Extract the embeddings of each member, which is the first step of `committee fusion-train`.

    See Also
    --------
    committee.pipeline.stages.fusion.extracted : The function that it runs.

    Examples
    --------
    >>> from pathlib import Path
    >>> from committee.debug.shared.bench import Bench
    >>> from committee.debug.extract_embeddings import ExtractEmbeddings
    >>> from committee.recipe.load import load_recipe
    >>> from committee.store.layout import Store
    >>> recipe = load_recipe(None, ["backbones.include=[timm:resnet18]"])
    >>> bench = Bench(Store(Path("store")), Store(Path("scratch")), recipe, fast=False)
    >>> ExtractEmbeddings().plan(bench)
    'extract embeddings of resnet18'
    """

    order = 25

    def plan(self, bench: Bench) -> str:
        return f"extract embeddings of {names_of(bench.recipe)}"

    def run(self, bench: Bench) -> str:
        bench.require_members()
        catalog = look_through(bench.scratch)
        members = fused_members(bench.recipe, bench.scratch, catalog)
        extracted_files = []
        context = open_context(bench.recipe, bench.scratch, catalog, members)
        with extracted(context, members) as places:
            for name, place in places.items():
                files = sorted(place.rglob("*.npy"))
                for file in files:
                    log_facts(name, file=file, values=statistics(np.load(file, mmap_mode="r")))
                extracted_files.append(f"{name} ({len(files)} files)")
        return f"extracted {', '.join(extracted_files)}"
