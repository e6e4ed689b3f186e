"""Recompute-bn: batch norm's statistics of each member, estimated again from training images."""

from __future__ import annotations

import torch

from committee.debug._bench import Bench, names_of
from committee.debug.base import Section, tell
from committee.pipeline.discover import look_through
from committee.pipeline.shared.choose import choose_backbones
from committee.pipeline.shared.derived_members import Bench as Remaking
from committee.pipeline.shared.derived_members import open_bench
from committee.recipe.runs import ModelSoup
from committee.training.fit.batch_norm import has_batch_norm, recompute
from committee.training.fit.embeddings import one_network
from committee.training.fit.weight_averager import SoupContext, WeightAverager, some_rows


class RecomputeBn(Section):
    """Load one network of each member, estimate its statistics again, and compare the losses."""

    order = 16

    def plan(self, bench: Bench) -> str:
        return f"estimate batch norm's statistics of {names_of(bench.recipe)} from {_batches(bench)} batches"

    def run(self, bench: Bench) -> str:
        bench.trained()
        catalog = look_through(bench.scratch)
        remaking = open_bench(bench.recipe, bench.scratch, catalog)
        names = choose_backbones(bench.recipe, catalog["members"], bench.scratch)
        return "; ".join(_recomputed(remaking, bench, name) for name in names)


def _batches(bench: Bench) -> int:
    return (bench.recipe.runs.model_soup or ModelSoup()).num_batches


def _recomputed(remaking: Remaking, bench: Bench, name: str) -> str:
    member = one_network(bench.scratch.checkpoint(name, bench.scratch.folds(name)[-1]))
    if not has_batch_norm(member.network):
        return f"{name} has no batch norm: nothing to recompute"
    dataset, size, seed = remaking.dataset, bench.recipe.dataset.batch_size, bench.recipe.seed
    rows = dataset.rows("train")
    context = SoupContext(
        dataset, rows, some_rows(rows, seed), size, remaking.device, True, _batches(bench), seed
    )
    averager = WeightAverager({name: member}, context, name)
    before = averager.loss(member)
    images = recompute(
        member, dataset, rows, batch_size=size, device=remaking.device, num_batches=_batches(bench), seed=seed
    )
    after = averager.loss(member)
    for key, value in member.network.state_dict().items():
        if key.endswith("running_mean"):
            tell(key, shape=list(value.shape), mean=f"{torch.mean(value):.4g}")
    return f"{name}: log-loss {before:.4f} before, {after:.4f} after, from {images} images"
