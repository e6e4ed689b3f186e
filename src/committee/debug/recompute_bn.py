"""The debug section that recomputes batch-norm statistics."""

from __future__ import annotations

import torch

from committee.debug.base import Section, log_facts
from committee.debug.shared.bench import Bench, names_of
from committee.pipeline.discover import look_through
from committee.pipeline.shared.choose import choose_backbones
from committee.pipeline.shared.derived_members import DerivedContext, open_context
from committee.recipe.runs import ModelSoup
from committee.training.fit.batch_norm import has_batch_norm, recompute
from committee.training.fit.embeddings import one_network
from committee.training.fit.weight_averager import SoupContext, WeightAverager, some_rows


class RecomputeBn(Section):
    """Recompute the batch-norm statistics of one network of each member, and compare the losses.

    See Also
    --------
    committee.training.fit.batch_norm.recompute : The function that it runs.

    Examples
    --------
    >>> from pathlib import Path
    >>> from committee.debug.shared.bench import Bench
    >>> from committee.debug.recompute_bn import RecomputeBn
    >>> from committee.recipe.load import load_recipe
    >>> from committee.store.layout import Store
    >>> recipe = load_recipe(None, ["backbones.include=[timm:resnet18]"])
    >>> bench = Bench(Store(Path("store")), Store(Path("scratch")), recipe, fast=False)
    >>> RecomputeBn().plan(bench)
    'recompute batch-norm statistics of resnet18 from 100 batches'
    """

    order = 16

    def plan(self, bench: Bench) -> str:
        return f"recompute batch-norm statistics of {names_of(bench.recipe)} from {_batches(bench)} batches"

    def run(self, bench: Bench) -> str:
        bench.require_members()
        catalog = look_through(bench.scratch)
        names = choose_backbones(bench.recipe, catalog["members"], bench.scratch)
        context = open_context(bench.recipe, bench.scratch, catalog, names)
        return "; ".join(_recomputed(context, bench, name) for name in names)


def _batches(bench: Bench) -> int:
    return (bench.recipe.runs.model_soup or ModelSoup()).num_batches


def _recomputed(context: DerivedContext, bench: Bench, name: str) -> str:
    member = one_network(
        bench.scratch.checkpoint(name, bench.scratch.folds(name)[-1]), bench.recipe.trusted_backbones()
    )
    if not has_batch_norm(member.network):
        return f"{name} has no batch-norm layers"
    dataset, size, seed = context.dataset, bench.recipe.dataset.batch_size, bench.recipe.seed
    rows = dataset.rows("train")
    soup = SoupContext(
        dataset, rows, some_rows(rows, seed), size, context.device, True, _batches(bench), seed
    )
    averager = WeightAverager({name: member}, soup, name)
    before = averager.loss(member)
    images = recompute(
        member, dataset, rows, batch_size=size, device=context.device, num_batches=_batches(bench), seed=seed
    )
    after = averager.loss(member)
    for key, value in member.network.state_dict().items():
        if key.endswith("running_mean"):
            log_facts(key, shape=list(value.shape), mean=f"{torch.mean(value):.4g}")
    return f"{name}: log-loss {before:.4f} before, {after:.4f} after, from {images} images"
