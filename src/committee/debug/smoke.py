"""Smoke: one batch through each network and back."""

from __future__ import annotations

from committee.base.devices import resolve
from committee.debug._bench import Bench, names_of
from committee.debug.base import Section, statistics, tell
from committee.pipeline.shared.to_train import members_to_train, open_for
from committee.training.fit.smoke import smoke


class Smoke(Section):
    """One batch forward and backward: shapes, finite loss and gradients."""

    order = 5

    def plan(self, bench: Bench) -> str:
        return f"one batch forward and backward through {names_of(bench.recipe)}"

    def run(self, bench: Bench) -> str:
        specs, device = members_to_train(bench.recipe), resolve(bench.recipe.device)
        dataset = open_for(bench.recipe, specs, bench.scratch)
        tell("data set", images=statistics(dataset.canvas), classes=", ".join(dataset.class_names))
        for spec in specs:
            smoke(spec, dataset, device)
            tell(spec.name, backbone=spec.backbone, img_size=spec.img_size, device=device)
        return f"{len(specs)} networks can learn"
